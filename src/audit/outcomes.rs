//! Where the readings of the log are.

use std::{
    collections::{HashMap, HashSet},
    ops::{AddAssign, RangeInclusive},
};

use serde::Serialize;

use super::{Item, LogChunk};
use crate::reading::Reason;

/// What a look at `sensor_data` tells of a reading that is not there as the log has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Whereabouts {
    /// A row of its sensor and time has this value instead.
    OtherValue(f64),
    /// Retention has dropped everything of its time.
    Expired,
    /// The service has deleted its sensor.
    SensorRemoved,
    /// No row, and nothing that explains it.
    Missing,
}

/// A reading that is not in `sensor_data` as the log has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// Its index among those that were asked for.
    pub index: usize,
    /// Where it is.
    pub whereabouts: Whereabouts,
}

/// Readings of a part of the log by where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// All of them.
    pub readings: i64,
    /// In `sensor_data`, with the value that the log has.
    pub rows: i64,
    /// In `sensor_data`, with another value.
    pub other_values: i64,
    /// In `dead_letters`.
    pub letters: i64,
    /// Of a time whose chunks retention has dropped.
    pub expired: i64,
    /// Of a sensor that was deleted.
    pub sensors_removed: i64,
    /// In neither table, between offsets where dead letters were counted and not kept.
    pub not_kept: i64,
    /// In neither table: dead letters that were removed, or readings that are lost.
    pub unaccounted: i64,
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.readings += other.readings;
        self.rows += other.rows;
        self.other_values += other.other_values;
        self.letters += other.letters;
        self.expired += other.expired;
        self.sensors_removed += other.sensors_removed;
        self.not_kept += other.not_kept;
        self.unaccounted += other.unaccounted;
    }
}

/// Dead letters of some offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// Those of one reading, or of a record that counts as one: offset and place.
    pub single: HashSet<(i64, Option<i32>)>,
    /// Those of many readings of a record: by offset, its places.
    pub many: HashMap<i64, Vec<RangeInclusive<i32>>>,
}

impl Letters {
    fn has(&self, item: &Item) -> bool {
        self.single.contains(&(item.offset, item.item)) || self.is_one_of_many(item)
    }

    fn is_one_of_many(&self, item: &Item) -> bool {
        let (Some(runs), Some(place)) = (self.many.get(&item.offset), item.item) else { return false };
        let at = runs.partition_point(|run| *run.end() < place);
        runs.get(at).is_some_and(|run| run.contains(&place))
    }
}

/// What is known of the dead letters of a chunk's offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkDeadLetters {
    /// Readings in `dead_letters`.
    pub set_aside: i64,
    /// Offsets between which dead letters were counted and not kept.
    pub not_kept: Vec<RangeInclusive<i64>>,
}

/// A reading that is named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// `unaccounted` or `other_value`.
    pub what: &'static str,
    /// The partition.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Place in the record; none where the record as a whole is meant.
    pub item: Option<i32>,
    /// The sensor; none where the log's bytes are no reading.
    pub sensor_id: Option<i32>,
    /// Its time.
    pub time: Option<String>,
    /// The value in the log.
    pub value: Option<f64>,
    /// The value in the table, where there is a row.
    pub stored_value: Option<f64>,
    /// Why the log's bytes are no reading.
    pub reason: Option<&'static str>,
}

impl Example {
    /// A reading that is in neither table.
    pub const UNACCOUNTED: &'static str = "unaccounted";
    /// A reading whose row has another value.
    pub const OTHER_VALUE: &'static str = "other_value";

    fn new(what: &'static str, partition: i32, item: &Item, stored_value: Option<f64>) -> Self {
        let reading = item.reading.ok();
        Self {
            what,
            partition,
            offset: item.offset,
            item: item.item,
            sensor_id: reading.map(|reading| reading.sensor_id),
            time: reading.map(|reading| reading.time.to_string()),
            value: reading.map(|reading| reading.value),
            stored_value,
            reason: item.reading.err().map(Reason::as_str),
        }
    }
}

impl LogChunk {
    /// Takes out what is in `dead_letters`, and says how many readings that is. `letters` are those of the chunk's
    /// offsets.
    ///
    /// A dead letter of a record as a whole stands for all that the record holds: a worker has judged it as one.
    pub fn separate_dead_letters(&mut self, letters: &Letters) -> i64 {
        let mut set_aside = 0;
        let mut last_whole = None;
        self.items.retain(|item| {
            if letters.single.contains(&(item.offset, None)) {
                // Its other readings are part of the same letter.
                if last_whole.replace(item.offset) != Some(item.offset) {
                    set_aside += 1;
                }
                return false;
            }
            let is_letter = letters.has(item);
            set_aside += i64::from(is_letter);
            !is_letter
        });
        set_aside
    }

    /// Sums up a chunk from which the dead letters are taken out. `findings` are of its readings sorted as
    /// [`Self::readings`] has them; `examples` gets up to `most` of each kind.
    pub fn outcomes(
        &self,
        partition: i32,
        letters: &ChunkDeadLetters,
        sorted: &[Item],
        findings: &[Finding],
        examples: &mut Vec<Example>,
        most: usize,
    ) -> Outcomes {
        let ChunkDeadLetters { set_aside, not_kept } = letters;
        let readings = self.items.len() as i64 + set_aside;
        let mut outcomes = Outcomes { readings, letters: *set_aside, ..Outcomes::default() };
        let mut name = |example: Example| {
            if examples.iter().filter(|other| other.what == example.what).count() < most {
                examples.push(example);
            }
        };
        let mut missing: Vec<&Item> = self.items.iter().filter(|item| item.reading.is_err()).collect();
        for finding in findings {
            let item = &sorted[finding.index];
            match finding.whereabouts {
                Whereabouts::OtherValue(value) => {
                    outcomes.other_values += 1;
                    name(Example::new(Example::OTHER_VALUE, partition, item, Some(value)));
                }
                Whereabouts::Expired => outcomes.expired += 1,
                Whereabouts::SensorRemoved => outcomes.sensors_removed += 1,
                Whereabouts::Missing => missing.push(item),
            }
        }
        for item in missing {
            if not_kept.iter().any(|range| range.contains(&item.offset)) {
                outcomes.not_kept += 1;
            } else {
                outcomes.unaccounted += 1;
                name(Example::new(Example::UNACCOUNTED, partition, item, None));
            }
        }
        outcomes.rows = sorted.len() as i64 - findings.len() as i64;
        outcomes
    }

    /// Those that could have a row, sorted by sensor and time: neighbours in the table's key are neighbours here.
    pub fn readings(&self) -> Vec<Item> {
        let mut sorted: Vec<Item> = self.items.iter().filter(|item| item.reading.is_ok()).copied().collect();
        sorted.sort_by_key(|item| {
            item.reading.map_or((0, 0), |reading| (reading.sensor_id, reading.time.micros()))
        });
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Reading, Timestamp};

    fn item(offset: i64, item: Option<i32>, sensor_id: i32) -> Item {
        let reading = Reading { sensor_id, time: Timestamp::from_micros(0), value: 1.0 };
        Item { offset, item, reading: Ok(reading) }
    }

    fn chunk(items: Vec<Item>) -> LogChunk {
        LogChunk { first: 0, last: 9, is_counted: true, items }
    }

    #[test]
    fn a_letter_of_a_whole_record_is_one_reading() {
        let mut chunk = chunk(vec![
            item(1, Some(0), 1),
            item(1, Some(1), 1),
            item(2, Some(0), 1),
            item(2, Some(1), 1),
            item(3, None, 1),
        ]);
        let single = HashSet::from([(1, None), (2, Some(1)), (4, None)]);
        let letters = Letters { single, ..Letters::default() };
        assert_eq!(chunk.separate_dead_letters(&letters), 2);
        assert_eq!(chunk.items, [item(2, Some(0), 1), item(3, None, 1)]);
    }

    #[test]
    fn a_letter_of_many_readings_is_these_and_no_others() {
        let mut chunk = chunk((0..8).map(|place| item(1, Some(place), 1)).collect());
        let many = HashMap::from([(1, vec![0..=1, 4..=4, 6..=9])]);
        let single = HashSet::from([(1, Some(1)), (1, Some(3))]);
        assert_eq!(chunk.separate_dead_letters(&Letters { single, many }), 6, "one is in both");
        assert_eq!(chunk.items, [item(1, Some(2), 1), item(1, Some(5), 1)]);
    }

    #[test]
    fn every_reading_is_somewhere() {
        let bad = Item { offset: 5, item: None, reading: Err(Reason::WrongShape) };
        let chunk = chunk(vec![item(1, None, 9), bad, item(2, None, 8), item(3, None, 7), item(4, None, 6)]);
        let sorted = chunk.readings();
        assert_eq!(sorted.iter().map(|item| item.offset).collect::<Vec<_>>(), [4, 3, 2, 1]);
        let at = |index, whereabouts| Finding { index, whereabouts };
        let findings =
            [at(0, Whereabouts::Missing), at(2, Whereabouts::OtherValue(3.0)), at(3, Whereabouts::Expired)];
        let mut examples = Vec::new();
        let mut letters = ChunkDeadLetters { set_aside: 3, not_kept: vec![] };
        let outcomes = chunk.outcomes(2, &letters, &sorted, &findings, &mut examples, 1);
        let expected = Outcomes {
            readings: 8,
            rows: 1,
            other_values: 1,
            letters: 3,
            expired: 1,
            sensors_removed: 0,
            not_kept: 0,
            unaccounted: 2,
        };
        assert_eq!(outcomes, expected);
        letters.not_kept.push(5..=7);
        let outcomes = chunk.outcomes(2, &letters, &sorted, &findings, &mut vec![], 1);
        assert_eq!((outcomes.not_kept, outcomes.unaccounted), (1, 1), "where letters were not kept");
        let named: Vec<_> = examples.iter().map(|example| (example.what, example.offset)).collect();
        assert_eq!(named, [("other_value", 2), ("unaccounted", 5)], "one of each kind");
    }
}
