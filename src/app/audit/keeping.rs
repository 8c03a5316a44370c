//! Keeps what audits come to, for the overview, and how far they got, for the next process.

use super::round::After;
use crate::{
    audit::{Kept, Report, Resume, Summary, WholeTopic},
    config::DatabaseConfig,
    log::Log,
    store::{
        StoreError,
        audit::results::{self, Outcome, Overwrite},
    },
};

/// The result so far, and where it is kept. An audit is as good without: nothing here makes it fail.
pub(super) struct Keeping<'a> {
    database: &'a DatabaseConfig,
    topic: WholeTopic,
    overwrite: Overwrite,
    has_said: bool,
}

impl<'a> Keeping<'a> {
    /// Of one audit of everything.
    pub(super) fn of_one(database: &'a DatabaseConfig) -> Self {
        Self { database, topic: WholeTopic::default(), overwrite: Overwrite::Any, has_said: false }
    }

    /// Of audits that go on from the last one.
    pub(super) fn of_watch(database: &'a DatabaseConfig) -> Self {
        Self { overwrite: Overwrite::Known(None), ..Self::of_one(database) }
    }

    /// Takes over from another audit of this log whose result is kept: one of an earlier process, or one that somebody
    /// has run meanwhile. Where to go on then; none where nobody else has kept anything.
    pub(super) async fn take_over(&mut self, log: &Log) -> Result<Option<Vec<(i32, Resume)>>, StoreError> {
        let last = match results::last(self.database, log).await {
            // Rights may be from before there was such a table, or such a column.
            Err(error) if error.sqlstate().is_some_and(|state| state == "42501") => None,
            last => last?,
        };
        let is_new = |last: &Kept| self.overwrite != Overwrite::Known(Some(last.taken_at));
        let Some(last) = last.filter(is_new) else { return Ok(None) };
        self.overwrite = Overwrite::Known(Some(last.taken_at));
        Ok(Some(self.topic.take_over(&log.cluster_id, &log.topic_id, &last)))
    }

    /// Adds a finished round, keeps what all of them come to, and tells it.
    pub(super) async fn keep(&mut self, report: &Report, after: &After) -> Summary {
        self.topic.add(report, &after.resumed);
        let summary = self.topic.summary(report.seconds);
        let progress = self.topic.progress(&after.resumes);
        let Self { database, overwrite, .. } = *self;
        match results::keep(database, &after.log, after.taken_at, &summary, &progress, overwrite).await {
            Ok(Outcome::Kept) => {
                if let Overwrite::Known(known) = &mut self.overwrite {
                    *known = Some(after.taken_at);
                }
            }
            Ok(Outcome::Superseded) => tracing::debug!("another audit has kept a result meanwhile"),
            Ok(Outcome::NotAllowed) if self.has_said => tracing::debug!("the result is not kept"),
            Ok(Outcome::NotAllowed) => {
                self.has_said = true;
                tracing::info!(
                    "the result is not kept for the overview: this role may not write to the table audits"
                );
            }
            Err(error) => {
                tracing::warn!("the result is not kept for the overview: {error}: {}", error.cause());
            }
        }
        summary
    }
}
