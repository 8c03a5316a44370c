//! Whether a consumer may join the group, for a member is given partitions that nobody else reads: the database lets it write,
//! by trying, and the group is not another database's. It is tried, too, while a batch is not written.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};

use super::{
    member::{Link, Member, MemberError},
    session::Session,
};
use crate::{
    log::{DatabaseId, GroupClaim},
    protocol::Event,
    reading::Timestamp,
    store::{StoreError, WriterConfig, try_writing},
};

/// First and longest pause before a consumer that was kept out tries again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// As many attempts as make a pause of two seconds.
const IN_DOUBT: u32 = 2;
/// The loop of the consumer turns at least this often.
const TURN: Duration = Duration::from_millis(500);

/// The trial that all consumers of a process start by. They hear of its outcome at the same moment and join together:
/// whoever came first would be given every partition, only to lose some again.
#[derive(Clone, Debug)]
pub struct FirstTrial(Shared<BoxFuture<'static, Result<DatabaseId, Arc<StoreError>>>>);

impl FirstTrial {
    /// It begins when the first consumer waits for it.
    pub fn new(writer: WriterConfig) -> Self {
        Self(async move { try_writing(&writer).await.map_err(Arc::new) }.boxed().shared())
    }
}

/// Why a consumer may not join.
enum KeptOut {
    ByPostgres(Arc<StoreError>),
    ByGroup { ours: DatabaseId, theirs: DatabaseId },
    InDoubt { theirs: DatabaseId },
}

impl Member {
    /// Waits, out of the group, until an empty write passes and the group is no other database's. Which database it is; none
    /// where the process stops before.
    pub(super) fn wait_until_permitted(&self, link: &mut Link) -> Option<DatabaseId> {
        // An assignment that failed, though writing was permitted, is not asked for again at once.
        let mut attempts = link.failed_assignments;
        let mut is_out = attempts > 0;
        loop {
            if attempts > 0 && !self.wait(link, pause(attempts)) {
                return None;
            }
            match self.try_to_enter(link.first_trial.take())? {
                Ok(database) => {
                    if is_out {
                        tracing::info!("nothing keeps this consumer out any more; joining the group");
                    }
                    // Whoever was assigned nothing before is in order; another one shows it by its next assignment.
                    if link.failed_assignments == 0 {
                        self.config.absences.remove(self.index);
                    }
                    return Some(database);
                }
                Err(KeptOut::ByGroup { ours, theirs }) => {
                    self.note_taken_group(ours, theirs);
                    attempts += 1;
                }
                Err(KeptOut::InDoubt { theirs }) => {
                    self.note_doubt(theirs);
                    attempts = IN_DOUBT;
                }
                Err(KeptOut::ByPostgres(error)) => {
                    self.note_refusal(&error);
                    // A server that was away is asked as soon as it may be back.
                    attempts = if error.is_answer() { attempts + 1 } else { 1 };
                }
            }
            is_out = true;
        }
    }

    /// None where the process stops before it is known whether the consumer may join.
    fn try_to_enter(&self, first: Option<FirstTrial>) -> Option<Result<DatabaseId, KeptOut>> {
        let ours = match self.try_writing(first)? {
            Ok(ours) => ours,
            Err(error) => return Some(Err(KeptOut::ByPostgres(error))),
        };
        Some(match self.look_at_group(ours)? {
            GroupClaim::Own | GroupClaim::TakenOver(_) => Ok(ours),
            GroupClaim::Unknown(theirs) => Err(KeptOut::InDoubt { theirs }),
            GroupClaim::Refused(theirs) => Err(KeptOut::ByGroup { ours, theirs }),
        })
    }

    fn note_refusal(&self, error: &StoreError) {
        let (cause, sqlstate) = (error.cause(), error.sqlstate());
        let told = error.server_message();
        if error.is_answer() {
            if self.config.absences.add(self.index, format!("Postgres refuses writes: {told}")) {
                tracing::error!(
                    error = %error, cause, db.sqlstate = sqlstate,
                    "Postgres refuses writes; out of the group until it accepts them, nothing is lost"
                );
            }
        } else if self.config.absences.add(self.index, format!("Postgres unavailable: {told}")) {
            tracing::warn!(error = %error, cause, "Postgres is unavailable; out of the group until it answers");
        }
    }

    /// None where the process stops before there is an answer.
    fn try_writing(&self, first: Option<FirstTrial>) -> Option<Result<DatabaseId, Arc<StoreError>>> {
        self.pulse.beat();
        let FirstTrial(trial) = first.unwrap_or_else(|| FirstTrial::new(self.config.writer.clone()));
        self.runtime.block_on(self.stop.run_until_cancelled(trial))
    }

    /// Whether the process goes on after this time.
    fn wait(&self, link: &mut Link, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while !self.stop.is_cancelled() {
            self.pulse.beat();
            link.lag.wait(Timestamp::now());
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left.min(TURN));
        }
        false
    }
}

impl Session<'_> {
    /// What every role would meet, such as a database that is read-only for a while, is waited for in the group.
    pub(super) fn on_tried(&mut self, tried: Result<(), StoreError>) -> Result<(), MemberError> {
        match tried {
            Err(error) if error.is_missing_right() && self.link.state.doubts_permission() => {
                self.member.note_refusal(&error);
                self.on(Event::NotPermitted)
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Doubles with each attempt up to a bound.
fn pause(attempts: u32) -> Duration {
    let (first, longest) = PAUSE;
    longest.min(first * 2_u32.saturating_pow(attempts.min(10) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!([1, 2, 3, 4, 99].map(pause), [1, 2, 4, 5, 5].map(Duration::from_secs));
    }
}
