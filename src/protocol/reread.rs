//! A partition whose fetch failed: when it is read again, and whether that has to be told.
//!
//! What passes is not told; what lasts, and what should have passed and has not, is a stall.

use std::time::Duration;

use super::Time;
use crate::log::{FetchFault, Unreadable};

/// First and longest pause before a partition is read again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long no fetch may have failed before a partition without new records counts as readable again: the answer that
/// says that there are none may be one that was to say that it failed.
const QUIET: Duration = Duration::from_secs(2);
/// How long what passes may take before it counts as a failure that lasts.
const PASSES_WITHIN: Duration = Duration::from_secs(15);
/// More failures than this change nothing.
const FAILURES_MAX: u32 = 10;

/// A failure that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reread {
    since: Time,
    failures: u32,
    pub(super) due: Due,
    /// Since when Kafka has said that there is no new record, and not that a fetch failed.
    quiet_since: Option<Time>,
}

/// When a partition is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Due {
    /// Once its position was held against its log.
    Compared,
    /// After a pause.
    At(Time),
    /// It is being read again.
    Read,
}

impl Reread {
    /// Of a partition whose fetches worked until now.
    pub(super) fn since(now: Time) -> Self {
        Self { since: now, failures: 0, due: Due::Compared, quiet_since: None }
    }

    /// Of a partition that is to be read again as soon as that can be.
    pub(super) fn at_once(now: Time) -> Self {
        Self { due: Due::At(now), ..Self::since(now) }
    }

    /// It is to be read again, whatever Kafka has said before.
    pub(super) fn schedule(&mut self, due: Due) {
        self.due = due;
        self.quiet_since = None;
    }

    /// A fetch has failed; what to tell, where that is to be told.
    pub(super) fn failed(&mut self, fault: FetchFault, now: Time) -> Option<Unreadable> {
        self.failures = (self.failures + 1).min(FAILURES_MAX);
        self.quiet_since = None;
        let (first, longest) = PAUSES;
        self.due = Due::At(now.saturating_add(longest.min(first * 2_u32.pow(self.failures - 1))));
        match fault {
            FetchFault::Lasting(unreadable) => Some(unreadable),
            FetchFault::Passing if now.saturating_sub(self.since) >= PASSES_WITHIN => {
                Some(Unreadable::FetchFailed)
            }
            FetchFault::Passing | FetchFault::OffsetOutOfRange => None,
        }
    }

    /// Kafka says that there is no new record.
    pub(super) fn is_quiet(&mut self, now: Time) {
        self.quiet_since.get_or_insert(now);
    }

    /// As if it had failed when the clock began.
    pub(super) fn set_clock_back(&mut self) {
        self.since = Time::ZERO;
        self.quiet_since = self.quiet_since.map(|_| Time::ZERO);
        self.due = match self.due {
            Due::At(_) => Due::At(PAUSES.1),
            Due::Compared | Due::Read => self.due,
        };
    }

    /// Whether it is to be read again now.
    pub(super) fn is_due(&self, now: Time) -> bool {
        matches!(self.due, Due::At(at) if at <= now)
    }

    /// Whether there has been no new record for long enough to know that fetches work.
    pub(super) fn is_readable(&self, now: Time) -> bool {
        self.due == Due::Read && self.quiet_since.is_some_and(|since| now.saturating_sub(since) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_AUTHORIZED: FetchFault = FetchFault::Lasting(Unreadable::NotAuthorized);
    const START: Time = Time::from_secs(100);

    #[test]
    fn what_lasts_is_told_and_read_again_with_growing_pauses() {
        let (mut reread, mut now) = (Reread::since(START), START);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(reread.failed(NOT_AUTHORIZED, now), Some(Unreadable::NotAuthorized));
            let failed = now;
            while !reread.is_due(now) {
                now += Duration::from_millis(50);
            }
            pauses.push(now.saturating_sub(failed).as_millis());
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
    }

    #[test]
    fn what_passes_is_told_only_where_it_does_not() {
        let mut reread = Reread::since(START);
        assert_eq!(reread.failed(FetchFault::Passing, START), None);
        assert_eq!(reread.failed(FetchFault::Passing, START + PASSES_WITHIN / 2), None);
        let late = reread.failed(FetchFault::Passing, START + PASSES_WITHIN);
        assert_eq!(late, Some(Unreadable::FetchFailed));
    }

    #[test]
    fn a_partition_without_records_is_readable_once_no_fetch_has_failed_for_a_while() {
        let mut reread = Reread::since(START);
        reread.failed(NOT_AUTHORIZED, START);
        reread.is_quiet(START);
        reread.failed(NOT_AUTHORIZED, START + QUIET / 2);
        assert!(!reread.is_readable(START + QUIET * 2));
        reread.schedule(Due::Read);
        reread.is_quiet(START + QUIET * 2);
        reread.is_quiet(START + QUIET * 5 / 2);
        assert!(!reread.is_readable(START + QUIET * 5 / 2));
        assert!(reread.is_readable(START + QUIET * 3));
    }
}
