//! Since when the first record that is not stored has been in the log.
//!
//! The log's ends are seen once a second, so a record that came meanwhile came between two of those looks, and about
//! as far between them as its offset lies between the two ends. One that was there already has a timestamp of its
//! own, which is read from Kafka.

use std::collections::{BTreeMap, VecDeque};

use crate::reading::Timestamp;

/// Looks that are remembered of each partition: a quarter of an hour.
const LOOKS_MAX: usize = 900;
/// A longer pause between two looks tells too little of what came meanwhile.
const PAUSE_MAX_MICROS: i64 = 5_000_000;

/// What was seen of the partitions.
#[derive(Debug, Default)]
pub(super) struct LagHistory {
    partitions: BTreeMap<i32, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the log ended where, the oldest first.
    ends: VecDeque<(Timestamp, i64)>,
    /// A record's offset and timestamp.
    read: Option<(i64, Timestamp)>,
}

impl LagHistory {
    /// The logs end there now.
    pub(super) fn see(&mut self, now: Timestamp, ends: &BTreeMap<i32, i64>) {
        for (&partition, &end) in ends {
            let seen = self.partitions.entry(partition).or_default();
            let is_after = |&(at, before): &(Timestamp, i64)| {
                before <= end && now.micros() - at.micros() <= PAUSE_MAX_MICROS
            };
            // A log that ends earlier than it did is another one.
            if !seen.ends.back().is_none_or(is_after) {
                seen.ends.clear();
                seen.read = None;
            }
            seen.ends.push_back((now, end));
            if seen.ends.len() > LOOKS_MAX {
                seen.ends.pop_front();
            }
        }
    }

    /// Forgets what nobody will ask for: a partition is stored up to there.
    pub(super) fn stored(&mut self, partition: i32, next_offset: i64) {
        let Some(seen) = self.partitions.get_mut(&partition) else { return };
        while seen.ends.get(1).is_some_and(|(_, end)| *end <= next_offset) {
            seen.ends.pop_front();
        }
        if seen.read.is_some_and(|(offset, _)| offset < next_offset) {
            seen.read = None;
        }
    }

    /// A record's timestamp, as it was read.
    pub(super) fn read(&mut self, partition: i32, offset: i64, timestamp: Timestamp) {
        if let Some(seen) = self.partitions.get_mut(&partition) {
            seen.read = Some((offset, timestamp));
        }
    }

    /// Since when the record at an offset has been there, if there is one yet and that is known.
    pub(super) fn since(&self, partition: i32, offset: i64) -> Option<Timestamp> {
        let seen = self.partitions.get(&partition)?;
        let later = seen.ends.partition_point(|(_, end)| *end <= offset);
        let &(after, end) = seen.ends.get(later)?;
        match later.checked_sub(1).and_then(|earlier| seen.ends.get(earlier)) {
            Some(&(before, start)) => {
                let share = (offset - start) as f64 / (end - start) as f64;
                let micros = (after.micros() - before.micros()) as f64 * share;
                Some(before.plus_micros(micros as i64))
            }
            None => seen.read.filter(|(read, _)| *read == offset).map(|(_, timestamp)| timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    fn seen(looks: &[(i64, i64)]) -> LagHistory {
        let mut history = LagHistory::default();
        for &(second, end) in looks {
            history.see(at(second), &[(0, end)].into());
        }
        history
    }

    #[test]
    fn what_came_between_two_looks_is_as_old_as_its_offset_says() {
        let history = seen(&[(0, 100), (1, 100), (2, 200)]);
        assert_eq!(history.since(0, 100), Some(at(1)));
        assert_eq!(history.since(0, 150), Some(at(1).plus_micros(500_000)));
        assert_eq!(history.since(0, 200), None, "there is no such record yet");
        assert_eq!(history.since(0, 99), None, "it was there before the first look");
        assert_eq!(history.since(1, 0), None);
    }

    #[test]
    fn what_was_there_before_is_read() {
        let mut history = seen(&[(0, 100), (1, 120)]);
        history.read(0, 7, at(-3_600));
        assert_eq!(history.since(0, 7), Some(at(-3_600)));
        assert_eq!(history.since(0, 8), None, "another record");
        history.stored(0, 8);
        assert_eq!(history.since(0, 7), None);
        history.stored(0, 110);
        assert_eq!(history.since(0, 110), Some(at(0).plus_micros(500_000)));
    }

    #[test]
    fn a_pause_or_another_log_begins_anew() {
        assert_eq!(seen(&[(0, 100), (60, 200)]).since(0, 150), None);
        assert_eq!(seen(&[(0, 100), (1, 50), (2, 60)]).since(0, 50), Some(at(1)));
        let looks: Vec<(i64, i64)> = (0..3_000).map(|second| (second, second)).collect();
        assert_eq!(seen(&looks).partitions[&0].ends.len(), LOOKS_MAX);
    }
}
