//! Readings as the log has them, in pieces of a bounded size.

use std::cell::Cell;

use super::KnownTimes;
use crate::{
    batch::Record,
    reading::{
        Reading, Reason, Timestamp, Window,
        decode::{Decoded, Place, decode},
        untimed::GivenTimes,
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
    given: GivenTimes,
    /// Where it is known what was given, as long as that lies ahead.
    known: Option<KnownTimes>,
    /// Up to which time of the log readings without a timestamp may have been given another one than is computed here.
    unsure_until: UnsureUntil,
}

/// Where retention has taken the records before, it is not known which times they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnsureUntil {
    /// The log's first time tells.
    FirstTime,
    /// This time of the log.
    Time(Timestamp),
    /// What was given before is known, or has no effect any more.
    Never,
}

/// Twice what a time that was given reaches ahead.
const UNSURE_MICROS: i64 = 2_000_000;

impl ChunkBuilder {
    /// Chunks of about so many readings. `known` tells where it is known which times readings without a timestamp were
    /// given.
    pub fn new(
        max_readings: usize,
        max_record_bytes: usize,
        counted_from: i64,
        known: Option<KnownTimes>,
    ) -> Self {
        Self {
            max_readings,
            max_record_bytes,
            counted_from,
            filling: None,
            given: GivenTimes::default(),
            known,
            unsure_until: UnsureUntil::FirstTime,
        }
    }

    /// Takes in a record; the chunk before, where it is full or one of another kind begins.
    pub fn push(&mut self, record: &Record<'_>) -> Option<LogChunk> {
        let is_counted = record.offset >= self.counted_from;
        if let Some(known) = self.known.take_if(|known| record.offset >= known.offset) {
            (self.given, self.unsure_until) = (known.given, UnsureUntil::Never);
        }
        let leaves_out_untimed = self.is_unsure(record.timestamp) && !is_counted;
        let done = self
            .filling
            .take_if(|chunk| chunk.items.len() >= self.max_readings || chunk.is_counted != is_counted);
        let first = record.offset;
        let chunk =
            self.filling.get_or_insert_with(|| LogChunk { first, last: first, is_counted, items: vec![] });
        chunk.last = record.offset;
        read(record, self.max_record_bytes, &mut self.given, leaves_out_untimed, &mut chunk.items);
        done
    }

    fn is_unsure(&mut self, record_time: Option<Timestamp>) -> bool {
        match (self.unsure_until, record_time) {
            (UnsureUntil::Never, _) => false,
            (_, None) => true,
            (UnsureUntil::FirstTime, Some(time)) => {
                self.unsure_until = UnsureUntil::Time(time.plus_micros(UNSURE_MICROS));
                true
            }
            (UnsureUntil::Time(until), Some(time)) => {
                let is_unsure = time < until;
                if !is_unsure {
                    self.unsure_until = UnsureUntil::Never;
                }
                is_unsure
            }
        }
    }

    /// What is left at the end.
    pub fn finish(self) -> Option<LogChunk> {
        self.filling
    }
}

/// Decodes as a worker does. Where `leaves_out_untimed`, good readings without a timestamp are none of the items.
fn read(
    record: &Record<'_>,
    max_bytes: usize,
    given: &mut GivenTimes,
    leaves_out_untimed: bool,
    items: &mut Vec<Item>,
) {
    let mut time_of = given.of_record(record.timestamp);
    let is_untimed = Cell::new(false);
    let mut untimed = |sensor_id, place| {
        is_untimed.set(true);
        time_of(sensor_id, place)
    };
    let payload = record.payload.unwrap_or_default();
    let (offset, before) = (record.offset, items.len());
    let item = |place| match place {
        Place::Whole => None,
        Place::Item(index) => Some(index as i32),
    };
    if payload.len() > max_bytes {
        items.push(Item { offset, item: None, reading: Err(Reason::TooLarge) });
        return;
    }
    decode(payload, &mut untimed, &ANY_TIME, &mut |decoded| match decoded {
        Decoded::Reading(place, outcome) => {
            if is_untimed.take() && outcome.is_ok() && leaves_out_untimed {
                return;
            }
            items.push(Item { offset, item: item(place), reading: outcome.map_err(|reject| reject.reason) });
        }
        Decoded::TakeBack(index) => {
            let is_gone = |item: &&Item| item.item.unwrap_or(0) as u32 >= index;
            let gone = items[before..].iter().rev().take_while(is_gone).count();
            items.truncate(items.len() - gone);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, payload: &str) -> Record<'_> {
        let (timestamp, headers) = (Some(Timestamp::from_micros(0)), vec![]);
        let payload = Some(payload.as_bytes());
        Record { partition: 0, offset, timestamp, leader_epoch: None, key: None, payload, headers }
    }

    fn known_at(offset: i64) -> KnownTimes {
        KnownTimes { offset, given: GivenTimes::default() }
    }

    #[test]
    fn readings_whose_times_are_not_known_are_left_out() {
        let times = |known| {
            let mut builder = ChunkBuilder::new(99, 1_000, 40, known);
            let payload = r#"[{"sensor_id":1,"value":1},{"sensor_id":2,"value":1,"timestamp":5},7]"#;
            let mut chunks = Vec::new();
            for (offset, millis) in [(10, 0), (11, 1_999), (12, 2_000), (13, 0), (40, 0)] {
                let timestamp = Some(Timestamp::from_millis(millis));
                chunks.extend(builder.push(&Record { timestamp, ..record(offset, payload) }));
            }
            chunks.extend(builder.finish());
            let items = chunks.iter().flat_map(|chunk| &chunk.items);
            let untimed = |item: &&Item| item.item == Some(0);
            let time = |item: &Item| (item.offset, item.reading.unwrap().time.micros());
            items.filter(untimed).map(time).collect::<Vec<_>>()
        };
        let all = [(10, 0), (11, 1_999_000), (12, 2_000_000), (13, 0), (40, 1)];
        assert_eq!(times(Some(known_at(10))), all);
        assert_eq!(times(None), all[2..]);
        assert_eq!(times(Some(known_at(11))), [all[1], all[2], all[3], all[4]]);
        assert_eq!(times(Some(known_at(40))), [all[2], all[3], (40, 0)]);
    }

    #[test]
    fn chunks_end_when_full_and_where_counting_begins() {
        let mut builder = ChunkBuilder::new(2, 1_000, 30, Some(known_at(0)));
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
    fn counts_what_a_worker_does() {
        let mut builder = ChunkBuilder::new(9, 1_000, 0, Some(known_at(0)));
        let one = r#"{"sensor_id":1,"value":1}"#;
        builder.push(&record(0, &format!("[{one},{{\"value\":NaN}},{one},{{")));
        builder.push(&record(
            1,
            &format!("{one}\n{{\"sensor_id\":1,\"data\":[{one},{one}],\"value\":1}}\n{one}"),
        ));
        let items = builder.finish().unwrap().items;
        let fates: Vec<_> = items.iter().map(|item| (item.offset, item.item, item.reading.is_ok())).collect();
        assert_eq!(
            fates,
            [
                (0, Some(0), true),
                (0, Some(1), false),
                (0, Some(2), true),
                (0, Some(3), false),
                (1, Some(0), true),
                (1, Some(1), false),
                (1, Some(2), true),
            ]
        );
    }

    #[test]
    fn a_record_that_counts_as_one_is_one() {
        let mut builder = ChunkBuilder::new(9, 30, 0, Some(known_at(0)));
        builder.push(&record(0, r#"[{"sensor_id":1,"val"#));
        builder.push(&record(1, &format!("[{}]", " ".repeat(40))));
        builder.push(&record(2, ""));
        let reasons: Vec<_> = builder.finish().unwrap().items.iter().map(|item| item.reading.err()).collect();
        assert_eq!(reasons, [Reason::MalformedJson, Reason::TooLarge, Reason::EmptyRecord].map(Some));
    }
}
