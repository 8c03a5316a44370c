//! Records as the load generator sends them.

use sensorpipe::{
    batch::{Batch, Limits, Record},
    reading::{Timestamp, Window},
};
use sensorpipe_load::Plan;

/// Readings in all, whatever the size of a record: a full batch.
pub(crate) const READINGS: u64 = 50_000;
/// Sizes of a record: the smallest and a common one.
pub(crate) const PER_RECORD: [u64; 2] = [1, 100];

/// 2026-03-05T12:00:00Z, in the middle of a chunk.
const NOW: Timestamp = Timestamp::from_micros(1_772_712_000_000_000);

/// Values of records that hold [`READINGS`] of 1,000 sensors.
pub(crate) fn payloads(per_record: u64) -> Vec<String> {
    let config = testbed::config(&["--readings-per-record", &per_record.to_string()]);
    let plan = Plan::new(&config, (1..=1_000).collect(), NOW);
    let payload = |record| {
        let mut payload = String::new();
        plan.write_record(record, &mut payload);
        payload
    };
    (0..READINGS / per_record).map(payload).collect()
}

/// The times that a worker accepts.
pub(crate) fn window() -> Window {
    Window { since: Timestamp::from_micros(946_684_800_000_000), until: NOW.plus_micros(86_400_000_000) }
}

/// The record with this value and this offset.
pub(crate) fn record(payload: &str, offset: i64) -> Record<'_> {
    Record {
        partition: 0,
        offset,
        timestamp: Some(NOW),
        leader_epoch: None,
        key: Some(b"1"),
        payload: Some(payload.as_bytes()),
        headers: Vec::new(),
    }
}

/// An empty batch with a worker's bounds.
pub(crate) fn batch() -> Batch {
    Batch::new(Limits { max_readings: 50_000, max_bytes: 8 << 20, max_record_bytes: 16 << 20 })
}
