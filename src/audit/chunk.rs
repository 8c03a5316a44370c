//! Readings as the log has them, in pieces of a bounded size.

use crate::{
    batch::Record,
    reading::{
        Reading, Reason, Timestamp, Window,
        decode::{Place, decode, time_by_place},
    },
};

/// What the database could hold at all. Which times a worker accepted depends on its clock and its settings then, so
/// here a time is refused only where no row can have it.
const ANY_TIME: Window = Window {
    since: Timestamp::from_micros(-210_866_803_200_000_000),
    until: Timestamp::from_micros(i64::MAX),
};

/// One reading of the log, or a record that counts as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// Offset of its record.
    pub offset: i64,
    /// Its place in the record; none where the record as a whole is meant.
    pub item: Option<i32>,
    /// The reading, or why it can never be stored.
    pub reading: Result<Reading, Reason>,
}

/// Readings of successive records of one partition.
#[derive(Debug, PartialEq)]
pub struct LogChunk {
    /// The first record's offset.
    pub first: i64,
    /// The last record's offset.
    pub last: i64,
    /// Whether counts are held against this part of the log.
    pub is_counted: bool,
    /// The readings in their order.
    pub items: Vec<Item>,
}

/// Fills chunks. A record is never split, so the last one may carry a chunk past its bound by its own size.
#[derive(Debug)]
pub struct ChunkBuilder {
    max_readings: usize,
    max_record_bytes: usize,
    /// From this offset on counts are held against the log.
    counted_from: i64,
    filling: Option<LogChunk>,
}

impl ChunkBuilder {
    /// Chunks of about so many readings.
    pub fn new(max_readings: usize, max_record_bytes: usize, counted_from: i64) -> Self {
        Self { max_readings, max_record_bytes, counted_from, filling: None }
    }

    /// Takes in a record; the chunk before, where it is full or one of another kind begins.
    pub fn push(&mut self, record: &Record<'_>) -> Option<LogChunk> {
        let is_counted = record.offset >= self.counted_from;
        let done = self
            .filling
            .take_if(|chunk| chunk.items.len() >= self.max_readings || chunk.is_counted != is_counted);
        let first = record.offset;
        let chunk =
            self.filling.get_or_insert_with(|| LogChunk { first, last: first, is_counted, items: vec![] });
        chunk.last = record.offset;
        read(record, self.max_record_bytes, &mut chunk.items);
        done
    }

    /// What is left at the end.
    pub fn finish(self) -> Option<LogChunk> {
        self.filling
    }
}

/// Decodes as a worker does.
fn read(record: &Record<'_>, max_bytes: usize, items: &mut Vec<Item>) {
    let payload = record.payload.unwrap_or_default();
    let (offset, before) = (record.offset, items.len());
    let whole = if payload.len() > max_bytes {
        Err(Reason::TooLarge)
    } else {
        decode(payload, &mut time_by_place(record.timestamp), &ANY_TIME, &mut |place, outcome| {
            let item = match place {
                Place::Whole => None,
                Place::Item(index) => Some(index as i32),
            };
            items.push(Item { offset, item, reading: outcome.map_err(|reject| reject.reason) });
        })
        .map_err(|reject| reject.reason)
    };
    if let Err(reason) = whole {
        items.truncate(before);
        items.push(Item { offset, item: None, reading: Err(reason) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, payload: &str) -> Record<'_> {
        let (timestamp, headers) = (Timestamp::from_micros(0), vec![]);
        Record { partition: 0, offset, timestamp, key: None, payload: Some(payload.as_bytes()), headers }
    }

    #[test]
    fn chunks_end_when_full_and_where_counting_begins() {
        let mut builder = ChunkBuilder::new(2, 1_000, 30);
        let one = r#"{"sensor_id":1,"value":1}"#;
        let three = r#"[{"sensor_id":1,"value":1},7,{"sensor_id":1,"value":1}]"#;
        let mut chunks = Vec::new();
        for (offset, payload) in [(10, one), (12, three), (20, one), (30, "[]"), (31, one)] {
            chunks.extend(builder.push(&record(offset, payload)));
        }
        chunks.extend(builder.finish());
        let shape = |chunk: &LogChunk| (chunk.first, chunk.last, chunk.is_counted, chunk.items.len());
        assert_eq!(
            chunks.iter().map(shape).collect::<Vec<_>>(),
            [(10, 12, false, 4), (20, 20, false, 1), (30, 31, true, 1)]
        );
        let places: Vec<_> = chunks[0].items.iter().map(|item| (item.item, item.reading.is_ok())).collect();
        assert_eq!(places, [(None, true), (Some(0), true), (Some(1), false), (Some(2), true)]);
    }

    #[test]
    fn a_record_that_counts_as_one_is_one() {
        let mut builder = ChunkBuilder::new(9, 30, 0);
        builder.push(&record(0, r#"[{"sensor_id":1,"value":1},"#));
        builder.push(&record(1, &format!("[{}]", " ".repeat(40))));
        builder.push(&record(2, ""));
        let reasons: Vec<_> = builder.finish().unwrap().items.iter().map(|item| item.reading.err()).collect();
        assert_eq!(reasons, [Reason::MalformedJson, Reason::TooLarge, Reason::EmptyRecord].map(Some));
    }
}
