//! From when on queries show a record: the moment that its partition's stored offset was seen past it.

use std::{collections::BTreeMap, time::Duration};

use crate::{latency::Latencies, ledger::Sent};

/// The stored offsets as they were seen to move, each with the time, counted from the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sightings {
    partitions: BTreeMap<i32, Vec<(i64, Duration)>>,
}

impl Sightings {
    /// Notes where a partition stands; says whether it has moved.
    pub(crate) fn note(&mut self, partition: i32, next_offset: i64, seen_at: Duration) -> bool {
        let moves = self.partitions.entry(partition).or_default();
        let has_moved = moves.last().is_none_or(|&(last, _)| next_offset > last);
        if has_moved {
            moves.push((next_offset, seen_at));
        }
        has_moved
    }

    /// Whether a partition was seen at all.
    pub(crate) fn has_seen(&self, partition: i32) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// Where a partition was last seen.
    pub(crate) fn next_offset(&self, partition: i32) -> i64 {
        self.partitions.get(&partition).and_then(|moves| moves.last()).map_or(0, |&(last, _)| last)
    }

    /// How many records are missing to `goals`.
    pub(crate) fn records_left(&self, goals: &BTreeMap<i32, i64>) -> i64 {
        goals.iter().map(|(&partition, goal)| (goal - self.next_offset(partition)).max(0)).sum()
    }

    /// How long each record took from when it was due until it was seen; those not seen are left out.
    pub(crate) fn latencies(&self, samples: &[Sent]) -> Latencies {
        let mut latencies = Latencies::default();
        for Sent { receipt, due } in samples {
            let Some(moves) = self.partitions.get(&receipt.partition) else { continue };
            let first_past = moves.partition_point(|&(next_offset, _)| next_offset <= receipt.offset);
            if let Some((_, seen_at)) = moves.get(first_past) {
                latencies.record(seen_at.saturating_sub(*due));
            }
        }
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sensorpipe::kafka::producer::Receipt;

    #[test]
    fn a_record_is_visible_once_the_offset_is_past_it() {
        let ms = Duration::from_millis;
        let mut sightings = Sightings::default();
        assert!(sightings.note(0, 0, ms(1)));
        assert!(!sightings.note(0, 0, ms(2)));
        assert!(sightings.note(0, 10, ms(100)));
        assert!(sightings.note(0, 20, ms(200)));
        let sent = |offset| Sent { receipt: Receipt { partition: 0, offset }, due: ms(50) };
        for (offset, latency) in [(0, 50.0), (9, 50.0), (10, 150.0), (19, 150.0)] {
            let latencies = sightings.latencies(&[sent(offset)]);
            assert!((latencies.quantile_ms(1.0) - latency).abs() < 0.2, "{offset}");
        }
        assert_eq!(sightings.latencies(&[sent(20)]).count(), 0);
        assert_eq!(sightings.records_left(&BTreeMap::from([(0, 25), (1, 3)])), 8);
    }
}
