//! A batch: what one transaction will hold. Pure: no I/O, no clock; knows neither Kafka's client nor SQL.

mod dead_letter;
mod decode;
mod record;
mod rejected;
mod rows;
mod tally;

use std::collections::BTreeSet;

use crate::{
    log::{RecordIdentity, Span, offset_after},
    reading::{Timestamp, Window, decode::Reject, untimed::GivenTimes},
};

pub use dead_letter::DeadLetter;
pub use decode::{PartToDecode, Taken};
pub use record::{Header, Record};
pub use rejected::{RECORD_DEAD_LETTERS_MAX, Rejected, RejectedGroup, RejectedOfRecord};
pub use rows::{Row, distinct, sort_for_chunks};
pub use tally::{PartitionTally, Tally};

/// Bounds of a batch. A record is never split, so the last one may carry a batch past them by its own size.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Readings.
    pub max_readings: usize,
    /// Bytes of keys and values.
    pub max_bytes: usize,
    /// Bytes of one record's value; a larger one is dead-lettered whole.
    pub max_record_bytes: usize,
}

/// The first record that a batch holds of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// The record's timestamp; none where it has none.
    pub appended: Option<Timestamp>,
    /// The time of its first reading; none where it has no good one.
    pub event: Option<Timestamp>,
}

/// Where a record stands, and what it carries besides its readings.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// The record's headers.
    pub headers: &'a [Header],
}

/// Records of some partitions, decoded.
#[derive(Debug)]
pub struct Batch {
    limits: Limits,
    max_records: usize,
    rows: Vec<Row>,
    rejected: Vec<Rejected>,
    /// By record, where they are too many for a dead letter each.
    groups: Vec<(u32, RejectedGroup)>,
    /// How many readings these are.
    grouped: usize,
    records: Vec<Kept>,
    bytes: Vec<u8>,
    /// Of the rejected readings that decoding has cut out.
    cut_bytes: usize,
    spans: Vec<Span>,
    /// By partition; those that hold nothing but control records have none.
    oldest: Vec<(i32, Oldest)>,
    /// By partition, what is stored beside the offset.
    beside: Vec<Beside>,
}

/// What is stored beside a partition's offset.
#[derive(Debug)]
struct Beside {
    partition: i32,
    given_times: Option<Vec<u8>>,
    last_record: Option<Vec<u8>>,
}

/// Where a record came from and where its bytes are, in case a reading of it must be dead-lettered.
#[derive(Debug)]
struct Kept {
    partition: i32,
    offset: i64,
    timestamp: Option<Timestamp>,
    /// Whether some of its readings have no timestamp and were given a time.
    has_untimed: bool,
    start: usize,
    key: Option<u32>,
    payload: Option<u32>,
    headers: Option<Box<[Header]>>,
}

impl Batch {
    /// An empty batch.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            max_records: usize::MAX,
            rows: vec![],
            rejected: vec![],
            groups: vec![],
            grouped: 0,
            records: vec![],
            bytes: vec![],
            cut_bytes: 0,
            spans: vec![],
            oldest: vec![],
            beside: vec![],
        }
    }

    /// Takes in a record. `position` is where the partition stood before it: the offset that is stored by then; `given`
    /// goes on from there.
    pub fn push(&mut self, record: &Record<'_>, position: i64, window: &Window, given: &mut GivenTimes) {
        let index = self.records.len() as u32;
        let rows = self.rows.len();
        let has_untimed = self.decode(record, index, window, given);
        if self.oldest(record.partition).is_none() {
            let event = self.rows.get(rows).map(|row| Timestamp::from_postgres_micros(row.time));
            self.oldest.push((record.partition, Oldest { appended: record.timestamp, event }));
        }
        self.keep(record, has_untimed);
        self.advance(record.partition, position, offset_after(record.offset));
    }

    fn advance(&mut self, partition: i32, position: i64, next: i64) {
        match self.spans.iter_mut().find(|span| span.partition == partition) {
            Some(span) => {
                debug_assert!(
                    position >= span.next && next > position,
                    "a partition moves forward, past what holds no record"
                );
                span.next = next;
            }
            None => self.spans.push(Span { partition, expected: position, next }),
        }
    }

    /// Sets the offsets that it goes to, and what is stored beside them: the times given up to there, and the last record
    /// before them. Nothing more is taken in.
    pub fn seal<'g>(
        &mut self,
        spans: Vec<Span>,
        given: impl Fn(i32) -> Option<&'g GivenTimes>,
        last: impl Fn(i32) -> Option<RecordIdentity>,
    ) {
        let beside = |&Span { partition, next, .. }: &Span| Beside {
            partition,
            given_times: given(partition).map(|given| given.to_bytes(next)),
            last_record: last(partition).map(|last| last.to_bytes(next)),
        };
        self.beside = spans.iter().map(beside).collect();
        self.spans = spans;
    }

    /// What is stored beside a partition's offset: the times given.
    pub fn given_times(&self, partition: i32) -> Option<&[u8]> {
        self.beside(partition)?.given_times.as_deref()
    }

    /// What is stored beside a partition's offset: the last record before it.
    pub fn last_record(&self, partition: i32) -> Option<&[u8]> {
        self.beside(partition)?.last_record.as_deref()
    }

    fn beside(&self, partition: i32) -> Option<&Beside> {
        self.beside.iter().find(|beside| beside.partition == partition)
    }

    /// Forgets all that came from these partitions.
    pub fn discard(&mut self, partitions: &BTreeSet<i32>) {
        let records = &self.records;
        let stays = |record: u32| !partitions.contains(&records[record as usize].partition);
        self.rows.retain(|row| stays(row.record));
        self.rejected.retain(|rejected| stays(rejected.record));
        self.cut_bytes = rejected::cut_bytes(&self.rejected);
        self.groups.retain(|(record, _)| stays(*record));
        self.grouped = self.groups.iter().map(|(_, group)| group.readings()).sum();
        self.spans.retain(|span| !partitions.contains(&span.partition));
        self.oldest.retain(|(partition, _)| !partitions.contains(partition));
        if self.spans.is_empty() {
            // Else the bytes of what is gone could keep a batch full for ever that has nothing to commit.
            self.clear();
        }
    }

    /// Empties the batch and keeps its memory for the next one.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.rejected.clear();
        self.groups.clear();
        self.grouped = 0;
        self.records.clear();
        self.bytes.clear();
        self.cut_bytes = 0;
        self.spans.clear();
        self.oldest.clear();
        self.beside.clear();
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether a bound is reached.
    pub fn is_full(&self) -> bool {
        self.reading_count() >= self.limits.max_readings
            || self.held_bytes() >= self.limits.max_bytes
            || self.records.len() >= self.max_records
    }

    fn held_bytes(&self) -> usize {
        self.bytes.len() + self.cut_bytes
    }

    /// How many more records fit, going by those that are in; at least one, for a record is never split.
    pub fn room_in_records(&self) -> usize {
        let records = self.records.len().max(1);
        let per_record = |sum: usize| sum.div_ceil(records).max(1);
        let readings = self.reading_count();
        let by_readings = self.limits.max_readings.saturating_sub(readings) / per_record(readings);
        let by_bytes =
            self.limits.max_bytes.saturating_sub(self.held_bytes()) / per_record(self.held_bytes());
        by_readings.min(by_bytes).min(self.max_records.saturating_sub(self.records.len())).max(1)
    }

    /// Whether the batch has anything of this partition.
    pub fn has(&self, partition: i32) -> bool {
        self.spans.iter().any(|span| span.partition == partition)
    }

    /// The first record held of a partition.
    pub fn oldest(&self, partition: i32) -> Option<Oldest> {
        self.oldest.iter().find(|(of, _)| *of == partition).map(|&(_, oldest)| oldest)
    }

    /// Bytes of keys and values.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Good readings and those that are set aside.
    pub fn reading_count(&self) -> usize {
        self.rows.len() + self.rejected.len() + self.grouped
    }

    /// Records, which cannot be cut.
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// From now on it is full at so many readings, or records.
    pub fn limit(&mut self, readings: usize, records: usize) {
        self.limits.max_readings = readings;
        self.max_records = records;
    }

    /// How far each partition goes.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The records, in the order in which they came.
    pub fn origins(&self) -> impl Iterator<Item = Origin<'_>> {
        self.records.iter().filter(|record| self.has(record.partition)).map(|record| Origin {
            partition: record.partition,
            offset: record.offset,
            headers: record.headers.as_deref().unwrap_or_default(),
        })
    }

    /// The readings.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What can never be stored, as far as decoding tells, of records that do not have too many of them.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Partition of a reading.
    pub fn partition_of(&self, row: &Row) -> i32 {
        self.records[row.record as usize].partition
    }

    /// Partition and offset of a record.
    pub fn place_of(&self, record: u32) -> (i32, i64) {
        let Kept { partition, offset, .. } = self.records[record as usize];
        (partition, offset)
    }

    /// Who of two readings for the same sensor and time is the later one: by partition, offset and place. Of one
    /// partition that is the log's order, as between batches, so that it does not matter where a batch ends.
    pub fn recency(&self, row: &Row) -> (i32, i64, u32) {
        let record = &self.records[row.record as usize];
        (record.partition, record.offset, row.place.index())
    }

    /// A row that turned out to be one that can never be stored.
    pub fn reject_row(&self, row: &Row, reject: Reject) -> Rejected {
        let time = Some(Timestamp::from_postgres_micros(row.time));
        Rejected { record: row.record, place: row.place, reject, time, alone: None }
    }

    fn keep(&mut self, record: &Record<'_>, has_untimed: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        self.bytes.extend_from_slice(record.payload.unwrap_or_default());
        self.records.push(Kept {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            has_untimed,
            start,
            key: record.key.map(|key| key.len() as u32),
            payload: record.payload.map(|payload| payload.len() as u32),
            headers: (!record.headers.is_empty()).then(|| record.headers.clone().into_boxed_slice()),
        });
    }
}

#[cfg(test)]
mod tests;
