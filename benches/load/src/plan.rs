//! Which readings: each follows from the seed, its sensor and its number alone.

use std::ops::Range;

use sensorpipe::{
    kafka::producer::MAX_RECORD_BYTES,
    reading::{Reading, Timestamp, encode},
    seed::mixed,
};

use crate::config::LoadConfig;

/// Values are whole hundredths from 0 to this many, so that sums of them are exact.
const HUNDREDTHS_MAX: u64 = 10_000;
/// The checksum weighs a reading's hundredths with `(sensor_id * FACTOR + number) % MODULUS + 1`, so that two
/// readings that changed places show, too.
pub(crate) const CHECKSUM_SENSOR_FACTOR: i64 = 31;
/// A prime; see [`CHECKSUM_SENSOR_FACTOR`].
pub(crate) const CHECKSUM_MODULUS: i64 = 1_009;
/// How many readings a second are taken for granted where nothing else says how many there will be.
const READINGS_PER_SECOND_GUESS: f64 = 1_000_000.0;

/// The readings of a run, record by record. Sensors take turns; a record holds readings of one sensor.
#[derive(Clone, Debug)]
pub struct Plan {
    sensor_ids: Vec<i32>,
    seed: u64,
    from: Timestamp,
    first: Timestamp,
    step_micros: i64,
    per_record: u64,
}

/// What the table must hold after a run.
#[derive(Clone, Debug)]
pub struct Expected {
    /// How many readings of each sensor at most; those that have none are left out.
    pub sensors: Vec<SensorReadings>,
    /// Time of every sensor's first reading.
    pub first: Timestamp,
    /// Time from one reading of a sensor to its next.
    pub step_micros: i64,
    /// All readings.
    pub readings: u64,
    /// Sum of all values in hundredths, weighted.
    pub checksum: i64,
}

/// How many readings a sensor got, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SensorReadings {
    /// The sensor.
    pub sensor_id: i32,
    /// Its readings.
    pub readings: u64,
}

/// Readings of a run that the table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many, each with a value that the run may have sent.
    pub readings: u64,
    /// Sum of their values in hundredths, weighted as in [`Expected::checksum`].
    pub checksum: i64,
}

impl Plan {
    /// A plan for these sensors, at least one; `now` is where the readings end unless told when they begin.
    pub fn new(config: &LoadConfig, sensor_ids: Vec<i32>, now: Timestamp) -> Self {
        let step_micros = config.step.as_micros() as i64;
        let per_record = config.readings_per_record;
        let from = config.from.unwrap_or_else(|| {
            let per_sensor = likely_readings(config).div_ceil(sensor_ids.len() as u64) as i64;
            let start = now.micros().saturating_sub(per_sensor.saturating_mul(step_micros));
            Timestamp::from_millis(start.div_euclid(1_000))
        });
        // Two seeds share no times, mostly.
        let phases = (step_micros / 1_000).clamp(1, 1_000);
        let phase_ms = (mixed(config.seed) % phases.cast_unsigned()) as i64;
        let first = from.plus_micros(phase_ms * 1_000);
        Self { sensor_ids, seed: config.seed, from, first, step_micros, per_record }
    }

    /// The `--from` that makes this plan again.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// Time of every sensor's first reading: a little after that, by how much the seed decides.
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// How many sensors.
    pub fn sensors(&self) -> usize {
        self.sensor_ids.len()
    }

    /// Readings in a record.
    pub fn per_record(&self) -> u64 {
        self.per_record
    }

    /// The sensor of a record.
    pub fn sensor_id(&self, record: u64) -> i32 {
        self.sensor_ids[self.slot(record)]
    }

    /// The readings of a record, oldest first.
    pub fn readings(&self, record: u64) -> impl Iterator<Item = Reading> {
        let slot = self.slot(record);
        self.numbers(record).map(move |number| self.reading(slot, number))
    }

    /// Appends a record in the topic's format.
    pub fn write_record(&self, record: u64, payload: &mut String) {
        let mut readings = self.readings(record);
        if self.per_record == 1 {
            if let Some(reading) = readings.next() {
                encode::write_single(&reading, payload);
            }
        } else {
            // As many as a record may have here fit well into one.
            let readings: Vec<Reading> = readings.collect();
            encode::write_record(&readings, MAX_RECORD_BYTES, payload);
        }
    }

    /// What is there once the first `records` records are stored, but for those in `refused`.
    pub fn expected(&self, records: u64, refused: &[u64]) -> Expected {
        let mut expected = self.expected_of_all(records);
        for &record in refused {
            let slot = self.slot(record);
            expected.readings -= self.per_record;
            for number in self.numbers(record) {
                expected.checksum -= self.weighed(slot, number);
            }
        }
        expected
    }

    fn expected_of_all(&self, records: u64) -> Expected {
        let sensors = self.sensor_ids.len() as u64;
        let mut expected = Expected {
            sensors: Vec::new(),
            first: self.first,
            step_micros: self.step_micros,
            readings: records * self.per_record,
            checksum: 0,
        };
        for (slot, &sensor_id) in self.sensor_ids.iter().enumerate() {
            let its_records = (records + sensors - 1).saturating_sub(slot as u64) / sensors;
            let readings = its_records * self.per_record;
            if readings == 0 {
                break;
            }
            expected.sensors.push(SensorReadings { sensor_id, readings });
            for number in 0..readings {
                expected.checksum += self.weighed(slot, number);
            }
        }
        expected
    }

    /// A reading's part of the checksum.
    fn weighed(&self, slot: usize, number: u64) -> i64 {
        let sensor = i64::from(self.sensor_ids[slot]) * CHECKSUM_SENSOR_FACTOR;
        let weight = (sensor + number as i64) % CHECKSUM_MODULUS + 1;
        self.hundredths(slot, number) as i64 * weight
    }

    fn slot(&self, record: u64) -> usize {
        (record % self.sensor_ids.len() as u64) as usize
    }

    /// Numbers of a record's readings among those of its sensor.
    fn numbers(&self, record: u64) -> Range<u64> {
        let first = record / self.sensor_ids.len() as u64 * self.per_record;
        first..first + self.per_record
    }

    fn reading(&self, slot: usize, number: u64) -> Reading {
        Reading {
            sensor_id: self.sensor_ids[slot],
            time: self.first.plus_micros(number as i64 * self.step_micros),
            value: self.hundredths(slot, number) as f64 / 100.0,
        }
    }

    fn hundredths(&self, slot: usize, number: u64) -> u64 {
        let place = (slot as u64) << 40 ^ number;
        mixed(mixed(self.seed).wrapping_add(place)) % (HUNDREDTHS_MAX + 1)
    }
}

fn likely_readings(config: &LoadConfig) -> u64 {
    let per_second = config.rate.map_or(READINGS_PER_SECOND_GUESS, |rate| rate as f64);
    match config.duration {
        Some(duration) => (per_second * duration.as_secs_f64()) as u64,
        None => config.count.unwrap_or(super::pace::COUNT_DEFAULT),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadConfig,
    }

    fn plan(flags: &str, sensors: i32) -> Plan {
        let config = Cli::parse_from(format!("load {flags}").split_whitespace()).load;
        Plan::new(&config, (1..=sensors).collect(), "2026-03-05T12:00:00Z".parse().unwrap())
    }

    fn all(plan: &Plan, records: u64) -> Vec<Reading> {
        (0..records).flat_map(|record| plan.readings(record)).collect()
    }

    #[test]
    fn the_seed_decides_values_and_times() {
        let from = "--from 2026-03-01T00:00:00Z";
        let one = all(&plan(&format!("{from} --seed 7"), 3), 100);
        assert_eq!(one, all(&plan(&format!("{from} --seed 7"), 3), 100));
        let other = all(&plan(&format!("{from} --seed 8"), 3), 100);
        let times = |readings: &[Reading]| readings.iter().map(|r| r.time).collect::<BTreeSet<_>>();
        assert!(times(&one).is_disjoint(&times(&other)));
        let equal = |(one, other): &(&Reading, &Reading)| one.value.to_bits() == other.value.to_bits();
        assert!(one.iter().zip(&other).filter(equal).count() < 5);
    }

    #[test]
    fn the_same_readings_fill_records_of_any_size() {
        let from = "--from 2026-03-01T00:00:00Z";
        let sorted = |mut readings: Vec<Reading>| {
            readings.sort_by_key(|reading| (reading.sensor_id, reading.time));
            readings
        };
        let single = sorted(all(&plan(from, 3), 60));
        let ten = sorted(all(&plan(&format!("{from} --readings-per-record 10"), 3), 6));
        assert_eq!(single, ten);
        let keys: BTreeSet<_> = single.iter().map(|reading| (reading.sensor_id, reading.time)).collect();
        assert_eq!(keys.len(), 60);
    }

    #[test]
    fn what_is_expected_is_what_is_sent() {
        for (records, per_record) in [(1, 1), (7, 1), (8, 3), (9, 3)] {
            let plan = plan(&format!("--readings-per-record {per_record}"), 4);
            let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
            let mut checksum = 0;
            for reading in all(&plan, records) {
                let number = (reading.time.micros() - plan.first().micros()) / 1_000_000;
                let weight = (i64::from(reading.sensor_id) * 31 + number) % 1_009 + 1;
                checksum += (reading.value * 100.0).round() as i64 * weight;
                *counts.entry(reading.sensor_id).or_default() += 1;
            }
            let expected = plan.expected(records, &[]);
            assert_eq!(expected.readings, records * per_record);
            assert_eq!(expected.checksum, checksum);
            let sensors: BTreeMap<i32, u64> =
                expected.sensors.iter().map(|sensor| (sensor.sensor_id, sensor.readings)).collect();
            assert_eq!(sensors, counts);
        }
    }

    #[test]
    fn what_was_turned_away_is_not_expected() {
        let plan = plan("--readings-per-record 3", 2);
        let (without_last, all) = (plan.expected(4, &[]), plan.expected(5, &[4]));
        assert_eq!((all.readings, all.checksum), (without_last.readings, without_last.checksum));
        let middle = plan.expected(5, &[1, 4]);
        assert_eq!(middle.readings, 9);
        assert_ne!(middle.checksum, plan.expected(3, &[]).checksum, "other readings");
    }

    #[test]
    fn readings_end_about_now_unless_told_when_they_begin() {
        for flags in ["--count 1000", "--rate 100 --duration 10s", "--count 1000 --readings-per-record 10"] {
            let plan = plan(flags, 4);
            let last = all(&plan, 1_000 / plan.per_record()).iter().map(|r| r.time).max().unwrap();
            let now: Timestamp = "2026-03-05T12:00:00Z".parse().unwrap();
            let behind = now.micros() - last.micros();
            assert!((-30_000_000..=1_000_000).contains(&behind), "{flags}: {behind}");
        }
    }
}
