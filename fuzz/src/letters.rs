//! The dead letters of a record of which everything is refused.

use sensorpipe::{
    batch::{Batch, DeadLetter, Limits, Record},
    reading::{Reason, decode::Reject, untimed::GivenTimes},
};

use super::reference::{RECEIVED, WINDOW};

/// What a batch of this record keeps where there is none of its sensors.
pub fn of(payload: &[u8], max_record_bytes: usize) -> Vec<DeadLetter> {
    let limits = Limits { max_readings: 1_000, max_bytes: 1 << 20, max_record_bytes };
    let mut batch = Batch::new(limits);
    let record = Record {
        partition: 0,
        offset: 0,
        timestamp: Some(RECEIVED),
        leader_epoch: None,
        key: Some(b"1"),
        payload: Some(payload),
        headers: vec![],
    };
    batch.push(&record, 0, &WINDOW, &mut GivenTimes::default());
    let mut rejected = batch.rejected().to_vec();
    let unknown = |row| batch.reject_row(row, Reject::new(Reason::UnknownSensor, "there is no such sensor"));
    rejected.extend(batch.rows().iter().map(unknown));
    batch.dead_letters(&rejected)
}
