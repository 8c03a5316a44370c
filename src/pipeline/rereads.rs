//! Partitions whose fetch failed: when each is read again, and whether that has to be told. Pure.
//!
//! After a failed fetch a partition is read again from its position, which is that of what was taken: a failure moves
//! nothing. What passes is not told; what lasts, and what should have passed and has not, is a stall.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::kafka::{FetchFault, Unreadable};

/// First and longest pause before a partition is read again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long no fetch may have failed before a partition without new records counts as readable again: the answer that
/// says that there are none may be one that was to say that it failed.
const QUIET: Duration = Duration::from_secs(2);
/// How long what passes may take before it counts as a failure that lasts.
const PASSES_WITHIN: Duration = Duration::from_secs(15);

/// The partitions that are to be read again, or have been and have not answered yet.
#[derive(Debug, Default)]
pub(super) struct Rereads {
    partitions: BTreeMap<i32, Reread>,
}

#[derive(Debug)]
struct Reread {
    failed_since: Instant,
    failures: u32,
    /// None once it is being read again.
    due: Option<Instant>,
    /// Since when Kafka has said that there is no new record, and not that a fetch failed.
    quiet_since: Option<Instant>,
}

impl Rereads {
    /// A partition's fetch has failed; what to tell, where that is to be told.
    pub(super) fn failed(&mut self, partition: i32, fault: FetchFault, now: Instant) -> Option<Unreadable> {
        let reread = self.partitions.entry(partition).or_insert(Reread {
            failed_since: now,
            failures: 0,
            due: None,
            quiet_since: None,
        });
        reread.failures += 1;
        reread.quiet_since = None;
        let (first, longest) = PAUSES;
        reread.due = Some(now + longest.min(first * 2_u32.saturating_pow(reread.failures.min(10) - 1)));
        match fault {
            FetchFault::Lasting(unreadable) => Some(unreadable),
            FetchFault::Passing if now - reread.failed_since >= PASSES_WITHIN => {
                Some(Unreadable::FetchFailed)
            }
            FetchFault::Passing | FetchFault::OffsetOutOfRange => None,
        }
    }

    /// The partitions to read again now; each is named once.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<i32> {
        let mut due = Vec::new();
        for (&partition, reread) in &mut self.partitions {
            if reread.due.is_some_and(|at| at <= now) {
                reread.due = None;
                due.push(partition);
            }
        }
        due
    }

    /// Kafka says that a partition has no new record.
    pub(super) fn quiet(&mut self, partition: i32, now: Instant) {
        if let Some(reread) = self.partitions.get_mut(&partition) {
            reread.quiet_since.get_or_insert(now);
        }
    }

    /// The partitions that have been quiet for long enough to be readable.
    pub(super) fn take_readable(&mut self, now: Instant) -> Vec<i32> {
        let is_readable = |reread: &Reread| reread.quiet_since.is_some_and(|since| now - since >= QUIET);
        let readable: Vec<i32> = self
            .partitions
            .iter()
            .filter(|(_, reread)| is_readable(reread))
            .map(|(&partition, _)| partition)
            .collect();
        self.remove(&readable);
        readable
    }

    /// Forgets partitions that are read from now on, or are another consumer's; whether there were any.
    pub(super) fn remove(&mut self, partitions: &[i32]) -> bool {
        let before = self.partitions.len();
        self.partitions.retain(|partition, _| !partitions.contains(partition));
        self.partitions.len() < before
    }

    /// Whether there is none, which is usual.
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_AUTHORIZED: FetchFault = FetchFault::Lasting(Unreadable::NotAuthorized);

    #[test]
    fn what_lasts_is_told_and_read_again_with_growing_pauses() {
        let (mut rereads, mut now) = (Rereads::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(rereads.failed(3, NOT_AUTHORIZED, now), Some(Unreadable::NotAuthorized));
            assert!(rereads.take_due(now).is_empty());
            let failed = now;
            while rereads.take_due(now).is_empty() {
                now += Duration::from_millis(50);
            }
            assert!(rereads.take_due(now).is_empty(), "once");
            pauses.push((now - failed).as_millis());
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert!(rereads.remove(&[3]) && rereads.is_empty() && !rereads.remove(&[3]));
    }

    #[test]
    fn what_passes_is_told_only_where_it_does_not() {
        let (mut rereads, now) = (Rereads::default(), Instant::now());
        assert_eq!(rereads.failed(1, FetchFault::Passing, now), None);
        assert_eq!(rereads.failed(1, FetchFault::Passing, now + PASSES_WITHIN / 2), None);
        let late = rereads.failed(1, FetchFault::Passing, now + PASSES_WITHIN);
        assert_eq!(late, Some(Unreadable::FetchFailed));
        rereads.remove(&[1]);
        assert_eq!(rereads.failed(1, FetchFault::Passing, now + PASSES_WITHIN * 2), None, "a new one");
    }

    #[test]
    fn a_partition_without_records_is_readable_once_no_fetch_has_failed_for_a_while() {
        let (mut rereads, now) = (Rereads::default(), Instant::now());
        rereads.quiet(2, now);
        assert!(rereads.take_readable(now + QUIET).is_empty(), "nothing had failed");
        rereads.failed(2, NOT_AUTHORIZED, now);
        rereads.quiet(2, now);
        rereads.failed(2, NOT_AUTHORIZED, now + QUIET / 2);
        assert!(rereads.take_readable(now + QUIET * 2).is_empty());
        rereads.quiet(2, now + QUIET * 2);
        rereads.quiet(2, now + QUIET * 5 / 2);
        assert!(rereads.take_readable(now + QUIET * 5 / 2).is_empty());
        assert_eq!(rereads.take_readable(now + QUIET * 3), [2]);
        assert!(rereads.is_empty());
    }
}
