//! Batches that are not written, said once for all the writers of a process.
//!
//! A database that is away is away for each of them, and one line tells as much as sixteen.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{health::Component, store::StoreError};

/// A failure that goes on for so long makes the worker unready.
const UNWELL_AFTER: Duration = Duration::from_secs(5);
/// How often a failure that goes on is logged.
const REMINDER: Duration = Duration::from_secs(30);

/// What the writers of a process suffer; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outage(Arc<Mutex<Suffered>>);

#[derive(Debug, Default)]
struct Suffered {
    /// Writers that fail now.
    writers: usize,
    /// Since when there is one.
    since: Option<Instant>,
    attempts: u32,
    /// When it was said last, and whether an operator was asked to act.
    said: Option<(Instant, bool)>,
}

/// A row of failures of one writer.
pub(super) struct Trouble<'a> {
    outage: &'a Outage,
    health: &'a Component,
    attempts: u32,
}

impl Outage {
    /// A batch's, which has not met any yet.
    pub(super) fn trouble<'a>(&'a self, health: &'a Component) -> Trouble<'a> {
        Trouble { outage: self, health, attempts: 0 }
    }

    fn suffered(&self) -> MutexGuard<'_, Suffered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Suffered {
    /// Notes a failure; whether it is to be said.
    fn met(&mut self, now: Instant, is_new: bool, needs_operator: bool) -> bool {
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
    fn over(&mut self) -> Option<Self> {
        self.writers -= 1;
        (self.writers == 0).then(|| std::mem::take(self))
    }

    fn seconds(&self, now: Instant) -> u64 {
        self.since.map_or(0, |since| (now - since).as_secs())
    }
}

impl Trouble<'_> {
    /// Notes a failure; the how manieth of this batch it is.
    pub(super) fn met(&mut self, error: &StoreError) -> u32 {
        let (now, is_new) = (Instant::now(), self.attempts == 0);
        self.attempts += 1;
        let mut suffered = self.outage.suffered();
        let is_said = suffered.met(now, is_new, !error.is_retriable());
        let (seconds, attempts) = (suffered.seconds(now), suffered.attempts);
        let is_long = suffered.since.is_some_and(|since| now - since >= UNWELL_AFTER);
        drop(suffered);
        if is_long {
            self.health
                .down(format!("batches are not written; they wait in Kafka: {}", error.server_message()));
        }
        let (cause, sqlstate) = (error.cause(), error.sqlstate());
        if is_said && error.is_retriable() {
            tracing::warn!(
                error = %error, cause, db.sqlstate = sqlstate, seconds, attempts,
                "batch not written; nothing is lost, trying on"
            );
        } else if is_said {
            tracing::error!(
                error = %error, cause, db.sqlstate = sqlstate, seconds, attempts,
                "batch cannot be written before this is mended; nothing is lost, trying on"
            );
        }
        self.attempts
    }

    /// The batch is written, or somebody else's.
    pub(super) fn over(&mut self) {
        if std::mem::take(&mut self.attempts) == 0 {
            return;
        }
        let over = self.outage.suffered().over();
        if let Some(suffered) = over {
            self.health.up();
            let (seconds, attempts) = (suffered.seconds(Instant::now()), suffered.attempts);
            tracing::info!(seconds, attempts, "batches are written again");
        }
    }
}

impl Drop for Trouble<'_> {
    /// The process stops, and the batch with it: others may still write theirs.
    fn drop(&mut self) {
        if self.attempts > 0 {
            self.outage.suffered().over();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_that_fail_together_are_one_outage() {
        let (mut suffered, now) = (Suffered::default(), Instant::now());
        assert!(suffered.met(now, true, false), "its start");
        assert!(!suffered.met(now, true, false) && !suffered.met(now, false, false));
        assert!(suffered.met(now, false, true), "it takes an operator after all");
        assert!(!suffered.met(now, false, true) && !suffered.met(now, false, false));
        assert!(suffered.met(now + REMINDER, false, false));
        assert!(suffered.over().is_none(), "the other one still fails");
        let ended = suffered.over().unwrap();
        assert_eq!((ended.attempts, ended.seconds(now + REMINDER)), (7, 30));
        assert!(suffered.met(now, true, false), "the next one");
    }
}
