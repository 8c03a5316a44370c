//! What became of each record that was sent.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sensorpipe::{kafka::producer::Receipt, log::offset_after};

use crate::latency::Latencies;

/// A record that was sent: when it was due, and whether its way into the database is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// When it was due, or where there is no schedule, sent; counted from the start.
    pub due: Duration,
    /// Whether it is one of the samples.
    pub is_sample: bool,
}

impl Tag {
    /// In one word, for clients that carry no more; microseconds are kept.
    pub(crate) fn to_word(self) -> usize {
        (self.due.as_micros() as usize) << 1 | usize::from(self.is_sample)
    }

    /// The tag in a word.
    pub(crate) fn from_word(word: usize) -> Self {
        Self { due: Duration::from_micros((word >> 1) as u64), is_sample: word & 1 == 1 }
    }
}

/// A record whose way into the database is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Where it is in the log.
    pub receipt: Receipt,
    /// When it was due, counted from the start.
    pub due: Duration,
}

/// Counts and latencies of a run; shared by those who send and those who watch.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    started: OnceLock<Instant>,
    acknowledged: AtomicU64,
    pages: Mutex<Outcome>,
}

/// What came of a run as far as those who took the records tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// From the time that a record was due to its acknowledgement.
    pub latencies: Latencies,
    /// The offset after the last record, for each partition that got any.
    pub goals: BTreeMap<i32, i64>,
    /// Records to follow.
    pub samples: Vec<Sent>,
    /// Records that were not acknowledged, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Numbers of the records that were turned away, in no order.
    pub refused: Vec<u64>,
    /// From the time that a record was due until it was turned away.
    pub refusal_latencies: Latencies,
    /// When the last answer came, counted from the start.
    pub last_answer: Duration,
}

impl Ledger {
    /// Starts the clock; what happens before, such as connecting, is nobody's latency.
    pub(crate) fn start(&self) {
        self.started.get_or_init(Instant::now);
    }

    /// Time since the start; none has passed before it.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Records acknowledged so far.
    pub(crate) fn acknowledged_records(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Notes what became of a record.
    pub(crate) fn note(&self, tag: Tag, answer: Result<Receipt, String>) {
        let now = self.elapsed();
        let mut pages = self.pages.lock();
        pages.last_answer = now;
        match answer {
            Ok(receipt) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                pages.latencies.record(now.saturating_sub(tag.due));
                let goal = pages.goals.entry(receipt.partition).or_default();
                *goal = offset_after(receipt.offset).max(*goal);
                if tag.is_sample {
                    pages.samples.push(Sent { receipt, due: tag.due });
                }
            }
            Err(reason) => *pages.failures.entry(reason).or_default() += 1,
        }
    }

    /// Notes that a record was turned away, and is nowhere.
    pub(crate) fn refused(&self, number: u64, tag: Tag) {
        let now = self.elapsed();
        let mut pages = self.pages.lock();
        pages.last_answer = now;
        pages.refused.push(number);
        pages.refusal_latencies.record(now.saturating_sub(tag.due));
    }

    /// All that was noted so far.
    pub(crate) fn outcome(&self) -> Outcome {
        self.pages.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_fits_into_a_word() {
        for is_sample in [true, false] {
            let tag = Tag { due: Duration::from_micros(86_400_000_001), is_sample };
            assert_eq!(Tag::from_word(tag.to_word()), tag);
        }
    }

    #[test]
    fn goals_are_the_furthest_offsets() {
        let ledger = Ledger::default();
        let tag = Tag { due: Duration::ZERO, is_sample: true };
        for (partition, offset) in [(0, 4), (1, 9), (0, 3)] {
            ledger.note(tag, Ok(Receipt { partition, offset }));
        }
        ledger.note(tag, Err("no".to_owned()));
        ledger.refused(7, tag);
        let outcome = ledger.outcome();
        assert_eq!((outcome.refused.as_slice(), outcome.refusal_latencies.count()), (&[7][..], 1));
        assert_eq!(outcome.goals, BTreeMap::from([(0, 5), (1, 10)]));
        assert_eq!((outcome.samples.len(), outcome.latencies.count()), (3, 3));
        assert_eq!(outcome.failures, BTreeMap::from([("no".to_owned(), 1)]));
        assert_eq!(ledger.acknowledged_records(), 3);
    }
}
