//! Batches that are not written, said once for all the writers of a process.
//!
//! A database that is away is away for each of them, and one line tells as much as sixteen.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use crate::{health::Component, store::StoreError};

/// A failure that goes on for so long makes the worker unready.
const UNWELL_AFTER: Duration = Duration::from_secs(5);
/// An attempt that lasts for so long does, too.
const LONG_AFTER: Duration = Duration::from_secs(15);
/// How often a failure that goes on is logged.
const REMINDER: Duration = Duration::from_secs(30);

/// What the writers of a process suffer; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outage(Arc<Mutex<OutageState>>);

#[derive(Debug, Default)]
struct OutageState {
    /// Writers that fail now.
    writers: usize,
    /// Since when there is one.
    since: Option<Instant>,
    attempts: u32,
    /// A batch that could not be written was cut: that it is over is for the next one to say.
    was_cut: bool,
    /// When it was said last, and whether an operator was asked to act.
    said: Option<(Instant, bool)>,
}

/// A row of failures of one writer.
pub(super) struct Trouble<'a> {
    outage: &'a Outage,
    health: &'a Component,
    attempts: u32,
    /// It was said that an attempt takes long.
    is_long: bool,
}

impl Outage {
    /// A batch's, which has not met any yet.
    pub(super) fn trouble<'a>(&'a self, health: &'a Component) -> Trouble<'a> {
        Trouble { outage: self, health, attempts: 0, is_long: false }
    }
}

impl OutageState {
    /// Notes a failure; whether it is to be said.
    fn record_failure(&mut self, now: Instant, is_new: bool, needs_operator: bool) -> bool {
        self.writers += usize::from(is_new);
        self.attempts += 1;
        self.since.get_or_insert(now);
        let is_due = self.said.is_none_or(|(said, was_for_operator)| {
            now - said >= REMINDER || (needs_operator && !was_for_operator)
        });
        if is_due {
            self.said = Some((now, needs_operator));
        }
        is_due
    }

    /// Notes that one writer is out of it; what it was where it is over for all.
    fn record_success(&mut self) -> Option<Self> {
        self.writers -= 1;
        (self.writers == 0).then(|| std::mem::take(self))
    }

    /// Notes that one writer goes on with less.
    fn cut(&mut self) {
        self.writers -= 1;
        self.was_cut = true;
    }

    /// Notes a batch that was written at once; what it was where a cut has ended it for all.
    fn written(&mut self) -> Option<Self> {
        (self.was_cut && self.writers == 0).then(|| std::mem::take(self))
    }

    fn seconds(&self, now: Instant) -> u64 {
        self.since.map_or(0, |since| (now - since).as_secs())
    }
}

impl Trouble<'_> {
    /// Waits for an attempt; one that takes long makes the worker unready until the batch is written.
    pub(super) async fn report_while<T>(&mut self, attempt: impl Future<Output = T>) -> T {
        let mut attempt = std::pin::pin!(attempt);
        if let Ok(outcome) = timeout(LONG_AFTER, &mut attempt).await {
            return outcome;
        }
        let seconds = LONG_AFTER.as_secs();
        self.is_long = true;
        self.health.down(format!(
            "a batch has been under way for more than {seconds} s; what follows waits in Kafka"
        ));
        tracing::warn!(seconds, "a batch takes long to be written; what follows waits in Kafka");
        attempt.await
    }

    /// Notes a failure; the how manieth of this batch it is.
    pub(super) fn record_failure(&mut self, error: &StoreError) -> u32 {
        let (now, is_new) = (Instant::now(), self.attempts == 0);
        self.attempts += 1;
        let mut state = self.outage.0.lock();
        let is_said = state.record_failure(now, is_new, !error.is_retriable());
        let (seconds, attempts) = (state.seconds(now), state.attempts);
        let is_long = state.since.is_some_and(|since| now - since >= UNWELL_AFTER);
        drop(state);
        if is_long {
            self.health.down(format!(
                "batches are not written; they wait in Kafka: {error}: {}",
                error.server_message()
            ));
        }
        let (cause, sqlstate) = (error.cause(), error.sqlstate());
        if is_said && error.is_retriable() {
            tracing::warn!(
                error = %error, cause, db.sqlstate = sqlstate, seconds, attempts,
                "batch not written; retrying, nothing is lost"
            );
        } else if is_said {
            tracing::error!(
                error = %error, cause, db.sqlstate = sqlstate, seconds, attempts,
                "batch cannot be written until this is fixed; retrying, nothing is lost"
            );
        }
        self.attempts
    }

    /// The batch is written, or somebody else's.
    pub(super) fn record_success(&mut self) {
        let is_first = std::mem::take(&mut self.attempts) == 0;
        let mut state = self.outage.0.lock();
        let over = if is_first { state.written() } else { state.record_success() };
        drop(state);
        if let Some(state) = over {
            self.health.up();
            let (seconds, attempts) = (state.seconds(Instant::now()), state.attempts);
            tracing::info!(seconds, attempts, "batches are written again");
        } else if self.is_long && is_first {
            self.health.up();
        }
        self.is_long = false;
    }

    /// The batch is read again in parts.
    pub(super) fn cut(&mut self) {
        if std::mem::take(&mut self.attempts) > 0 {
            self.outage.0.lock().cut();
        }
    }
}

impl Drop for Trouble<'_> {
    /// The process stops, and the batch with it: others may still write theirs.
    fn drop(&mut self) {
        if self.attempts > 0 {
            self.outage.0.lock().record_success();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_that_fail_together_are_one_outage() {
        let (mut state, now) = (OutageState::default(), Instant::now());
        assert!(state.record_failure(now, true, false), "its start");
        assert!(!state.record_failure(now, true, false) && !state.record_failure(now, false, false));
        assert!(state.record_failure(now, false, true), "it takes an operator after all");
        assert!(!state.record_failure(now, false, true) && !state.record_failure(now, false, false));
        assert!(state.record_failure(now + REMINDER, false, false));
        assert!(state.record_success().is_none(), "the other one still fails");
        let ended = state.record_success().unwrap();
        assert_eq!((ended.attempts, ended.seconds(now + REMINDER)), (7, 30));
        assert!(state.record_failure(now, true, false), "the next one");
        state.cut();
        assert!(!state.record_failure(now, true, false), "a part of the same batch is the same outage");
        state.cut();
        assert_eq!(state.written().map(|ended| ended.attempts), Some(2));
        assert!(state.written().is_none(), "once");
    }
}
