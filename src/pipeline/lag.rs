//! How far behind each partition is, as the metrics tell it.

use std::collections::BTreeMap;

use metrics::{Gauge, gauge};

use crate::{
    batch::{Batch, Oldest},
    log::Span,
    metrics::{EVENT_LAG_SECONDS, IN_FLIGHT_READINGS, LAG_RECORDS, LAG_SECONDS, STORED_OFFSET},
    reading::Timestamp,
};

/// What there is to tell of the batch that the writer has.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    oldest: Vec<(i32, Oldest)>,
    pub(super) readings: usize,
}

impl InFlight {
    pub(super) fn of(batch: &Batch) -> Self {
        let oldest = |span: &Span| Some((span.partition, batch.oldest(span.partition)?));
        Self { oldest: batch.spans().iter().filter_map(oldest).collect(), readings: batch.reading_count() }
    }

    pub(super) fn oldest(&self, partition: i32) -> Option<Oldest> {
        self.oldest.iter().find(|(of, _)| *of == partition).map(|&(_, oldest)| oldest)
    }
}

/// A partition as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) partition: i32,
    /// First offset that is not stored.
    pub(super) stored: i64,
    /// Where the log ends, if anybody has said so yet.
    pub(super) end: Option<i64>,
    /// What is held of it and not stored.
    pub(super) oldest: Option<Oldest>,
}

/// What a consumer has told of its partitions. It outlives a membership of the group: while the consumer is out of it
/// because the database does not answer, the partitions may be nobody's, and are as far behind as they were.
#[derive(Default)]
pub(super) struct Lag {
    partitions: BTreeMap<i32, Told>,
    in_flight: usize,
}

struct Told {
    gauges: Gauges,
    /// Since when there is something to store; by the record's timestamp where one is at hand.
    behind: Option<Behind>,
}

/// The first record that is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Behind {
    appended: Timestamp,
    event: Timestamp,
}

struct Gauges {
    records: Gauge,
    seconds: Gauge,
    event_seconds: Gauge,
    stored_offset: Gauge,
}

impl Lag {
    /// Tells how all partitions of this consumer stand; those that it no longer has count as somebody else's.
    pub(super) fn report(&mut self, now: Timestamp, standings: &[Standing]) {
        self.partitions.retain(|partition, told| {
            let is_ours = standings.iter().any(|standing| standing.partition == *partition);
            if !is_ours {
                told.gauges.nothing();
            }
            is_ours
        });
        for standing in standings {
            let told = self
                .partitions
                .entry(standing.partition)
                .or_insert_with(|| Told { gauges: Gauges::of(standing.partition), behind: None });
            told.gauges.stored_offset.set(standing.stored as f64);
            let records = standing.end.map(|end| (end - standing.stored).max(0));
            told.behind = behind(now, told.behind, records, standing.oldest);
            if let Some(records) = records {
                told.gauges.records.set(records as f64);
            }
            told.gauges.age(now, told.behind);
        }
    }

    /// Tells that time passes for what is not stored.
    pub(super) fn wait(&mut self, now: Timestamp) {
        for told in self.partitions.values() {
            told.gauges.age(now, told.behind);
        }
    }

    /// Tells how many readings are held; other consumers of the process have theirs.
    pub(super) fn hold(&mut self, readings: usize) {
        gauge!(IN_FLIGHT_READINGS).increment(readings as f64 - self.in_flight as f64);
        self.in_flight = readings;
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.hold(0);
        for told in self.partitions.values() {
            told.gauges.nothing();
        }
    }
}

impl Gauges {
    fn of(partition: i32) -> Self {
        let gauge = |name: &'static str| gauge!(name, "partition" => partition.to_string());
        Self {
            records: gauge(LAG_RECORDS),
            seconds: gauge(LAG_SECONDS),
            event_seconds: gauge(EVENT_LAG_SECONDS),
            stored_offset: gauge(STORED_OFFSET),
        }
    }

    fn nothing(&self) {
        self.records.set(0);
        self.seconds.set(0);
        self.event_seconds.set(0);
    }

    fn age(&self, now: Timestamp, behind: Option<Behind>) {
        let age = |since: Timestamp| (now.micros() - since.micros()).max(0) as f64 / 1e6;
        self.seconds.set(behind.map_or(0.0, |behind| age(behind.appended)));
        self.event_seconds.set(behind.map_or(0.0, |behind| age(behind.event)));
    }
}

/// What is not stored: none where all is. A record that is not at hand is at least as old as the first look that
/// missed it.
fn behind(
    now: Timestamp,
    before: Option<Behind>,
    records: Option<i64>,
    oldest: Option<Oldest>,
) -> Option<Behind> {
    if let Some(Oldest { appended, event }) = oldest {
        // A record without a timestamp was not there before it was missed.
        let missed = before.map_or(now, |before| before.appended);
        let appended = appended.unwrap_or(missed);
        return Some(Behind { appended, event: event.unwrap_or(appended) });
    }
    match records {
        Some(0) | None => None,
        Some(_) => before.or(Some(Behind { appended: now, event: now })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    #[test]
    fn nothing_to_store_is_no_lag() {
        assert_eq!(behind(at(10), None, Some(0), None), None);
        assert_eq!(behind(at(10), None, None, None), None);
        let before = Some(Behind { appended: at(1), event: at(0) });
        assert_eq!(behind(at(10), before, Some(0), None), None);
    }

    #[test]
    fn a_record_at_hand_tells_its_age() {
        let oldest = Some(Oldest { appended: Some(at(5)), event: Some(at(2)) });
        let expected = Some(Behind { appended: at(5), event: at(2) });
        assert_eq!(behind(at(10), None, Some(3), oldest), expected);
        let without_readings = Some(Oldest { appended: Some(at(5)), event: None });
        assert_eq!(
            behind(at(10), None, None, without_readings),
            Some(Behind { appended: at(5), event: at(5) })
        );
    }

    #[test]
    fn a_record_without_a_timestamp_is_as_old_as_the_first_look() {
        let oldest = Some(Oldest { appended: None, event: Some(at(2)) });
        let first = behind(at(10), None, Some(1), oldest);
        assert_eq!(first, Some(Behind { appended: at(10), event: at(2) }));
        assert_eq!(behind(at(70), first, Some(1), oldest), first);
    }

    #[test]
    fn what_is_not_at_hand_grows_older_from_the_first_look() {
        let first = behind(at(10), None, Some(3), None);
        assert_eq!(first, Some(Behind { appended: at(10), event: at(10) }));
        assert_eq!(behind(at(70), first, Some(9), None), first);
    }
}
