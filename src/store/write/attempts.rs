//! Attempts at a batch that came to nothing, and what they show. Pure.

use std::time::Duration;

use crate::store::StoreError;

/// An attempt whose connection breaks off after so long counts as one that may have been too much.
const LONG: Duration = Duration::from_secs(10);
/// So many refusals of a batch, whatever they say, are taken for something that passes.
const PASSING_REFUSALS: u32 = 2;
/// After so many refusals a batch is cut.
const REFUSALS_MAX: u32 = 4;
/// A limit is doubled no more often than this.
const DOUBLINGS_MAX: u32 = 6;

/// How often a batch failed, by how.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    refusals: u32,
    timeouts: u32,
    broken_off: u32,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A living server said no.
    Refused,
    /// It took as long as it may.
    TimedOut,
    /// Its connection broke off after long work. Once is an accident, or this process was frozen.
    BrokenOff,
    /// Its connection broke off.
    Away,
}

impl Failed {
    /// Notes an attempt that took so long of `limit`.
    pub(super) fn note(&mut self, error: &StoreError, took: Duration, limit: Duration) -> Failure {
        let failure = match took {
            _ if error.is_refusal() => Failure::Refused,
            took if took >= limit => Failure::TimedOut,
            took if took >= LONG => Failure::BrokenOff,
            _ => Failure::Away,
        };
        match failure {
            Failure::Refused => self.refusals += 1,
            Failure::TimedOut => self.timeouts += 1,
            Failure::BrokenOff => self.broken_off += 1,
            Failure::Away => {}
        }
        failure
    }

    /// The limit of the next attempt.
    pub(super) fn limit(&self, first: Duration) -> Duration {
        first * 2_u32.pow(self.timeouts.min(DOUBLINGS_MAX))
    }

    /// Whether what the server says is not something that passes.
    pub(super) fn go_on_refusing(&self) -> bool {
        self.refusals >= PASSING_REFUSALS
    }

    /// Whether less may be more.
    pub(super) fn show_that_it_is_too_much(&self) -> bool {
        self.refusals >= REFUSALS_MAX || self.timeouts > 0 || self.broken_off > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::Refusal;

    #[test]
    fn what_fails_again_and_again_is_cut() {
        let (limit, second) = (Duration::from_secs(120), Duration::from_secs(1));
        let gone = || StoreError::new("writing")(sqlx::Error::WorkerCrashed);
        let refusal = Refusal { code: "53100".to_owned(), words: "no room".to_owned() };
        let mut failed = Failed::default();
        for refusals in 1..=4 {
            assert!(!failed.show_that_it_is_too_much());
            assert_eq!(
                failed.note(&StoreError::refused("writing", refusal.clone()), second, limit),
                Failure::Refused
            );
            assert_eq!(failed.go_on_refusing(), refusals >= 2);
        }
        assert!(failed.show_that_it_is_too_much());

        let mut failed = Failed::default();
        assert_eq!(failed.note(&gone(), second, limit), Failure::Away);
        assert_eq!(failed.note(&gone(), second * 30, limit), Failure::BrokenOff);
        assert!(!failed.show_that_it_is_too_much(), "it may have been frozen");
        failed.note(&gone(), second * 30, limit);
        assert!(failed.show_that_it_is_too_much());

        let mut failed = Failed::default();
        assert_eq!(failed.note(&gone(), limit, limit), Failure::TimedOut);
        assert!(failed.show_that_it_is_too_much());
        assert_eq!(failed.limit(limit), limit * 2);
    }
}
