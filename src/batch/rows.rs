//! Rows of `sensor_data`, their order and which of two equal ones stays.

use super::Batch;
use crate::reading::{OnDuplicate, Reading, Timestamp, decode::Place};

/// A reading and its place in the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Microseconds since 2000-01-01, Postgres' epoch.
    pub time: i64,
    /// The measured value.
    pub value: f64,
    /// Key of `sensors`.
    pub sensor_id: i32,
    pub(super) record: u32,
    pub(super) place: Place,
}

impl Row {
    pub(crate) fn new(reading: &Reading, record: u32, place: Place) -> Self {
        Self {
            time: reading.time.postgres_micros(),
            value: reading.value,
            sensor_id: reading.sensor_id,
            record,
            place,
        }
    }

    /// A reading with nothing special about it, from the same record.
    pub(crate) fn plain(&self, sensor_id: i32, time: i64) -> Self {
        Self { time, value: 0.0, sensor_id, ..*self }
    }

    /// Number of the chunk that the row falls into. The database counts chunks from the Unix epoch.
    pub fn chunk(&self, chunk_micros: i64) -> i64 {
        Timestamp::from_postgres_micros(self.time).micros().div_euclid(chunk_micros)
    }

    /// Which reading it is.
    pub(crate) fn key(&self) -> (i32, i64) {
        (self.sensor_id, self.time)
    }
}

/// Sorts rows by chunk, sensor and time.
///
/// The database fills one chunk after the other, each from its index's left to its right; and two writers whose
/// readings overlap meet their keys in the same order, so they wait for each other and never deadlock. Without the
/// chunk in front they would: COPY keeps a buffer for each chunk.
pub fn sort_for_chunks(rows: &mut [Row], chunk_micros: i64) {
    let chunks = rows.iter().map(|row| row.chunk(chunk_micros));
    let is_one_chunk = chunks.clone().min() == chunks.max();
    if is_one_chunk {
        rows.sort_unstable_by_key(Row::key);
    } else {
        rows.sort_unstable_by_key(|row| (row.chunk(chunk_micros), row.key()));
    }
}

/// Splits sorted rows into those to store, one for each key, and the duplicates that give way to them.
pub fn distinct(batch: &Batch, sorted: &[Row], policy: OnDuplicate) -> (Vec<Row>, Vec<Row>) {
    let mut stay: Vec<Row> = Vec::with_capacity(sorted.len());
    let mut give_way = Vec::new();
    for row in sorted {
        match stay.last_mut() {
            Some(last) if last.key() == row.key() => {
                let row_is_later = batch.recency(row) > batch.recency(last);
                let row_stays = match policy {
                    OnDuplicate::Overwrite => row_is_later,
                    OnDuplicate::Ignore => !row_is_later,
                };
                give_way.push(if row_stays { std::mem::replace(last, *row) } else { *row });
            }
            _ => stay.push(*row),
        }
    }
    (stay, give_way)
}
