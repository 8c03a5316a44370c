//! Keeps what audits come to, for the overview.

use super::round::After;
use crate::{
    audit::{Report, WholeTopic},
    config::DatabaseConfig,
    store::audit::results,
};

/// The result so far, and where it is kept. An audit is as good without: nothing here makes it fail.
pub(super) struct Keeping<'a> {
    database: &'a DatabaseConfig,
    topic: WholeTopic,
    has_said: bool,
}

impl<'a> Keeping<'a> {
    /// Of an audit that begins.
    pub(super) fn new(database: &'a DatabaseConfig) -> Self {
        Self { database, topic: WholeTopic::default(), has_said: false }
    }

    /// Adds a finished round, and keeps what all of them come to. Where the role may not write it, that is said once.
    pub(super) async fn keep(&mut self, report: &Report, after: &After) {
        self.topic.add(report, &after.resumed);
        let summary = self.topic.summary(report.seconds);
        match results::keep(self.database, &after.log, after.taken_at, &summary).await {
            Ok(true) => {}
            Ok(false) if self.has_said => tracing::debug!("the result is not kept"),
            Ok(false) => {
                self.has_said = true;
                tracing::info!(
                    "the result is not kept for the overview: this role may not write to the table audits"
                );
            }
            Err(error) => {
                tracing::warn!("the result is not kept for the overview: {error}: {}", error.cause());
            }
        }
    }
}
