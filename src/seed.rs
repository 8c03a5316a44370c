//! The sample data: two sensors, 14 days of minute readings each.
//!
//! A value follows from its sensor and its minute alone, so a second run makes the same readings: duplicates, and
//! what became due in between.

use crate::reading::{Reading, Timestamp};

const MINUTE_MICROS: i64 = 60_000_000;
const MINUTES: i64 = 14 * 24 * 60;

/// A sensor of the sample data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSensor {
    /// Key of `sensors`.
    pub sensor_id: i32,
    /// What it measures.
    pub sensor_type: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Where it is.
    pub location: &'static str,
    /// Smallest and largest value, in hundredths.
    range: (u64, u64),
}

/// Both of them.
pub const SENSORS: [SampleSensor; 2] = [
    SampleSensor {
        sensor_id: 1,
        sensor_type: "temperature",
        description: "Outdoor temperature sensor",
        location: "Backyard",
        range: (1_500, 3_000),
    },
    SampleSensor {
        sensor_id: 2,
        sensor_type: "humidity",
        description: "Indoor humidity sensor",
        location: "Living Room",
        range: (4_000, 6_000),
    },
];

impl SampleSensor {
    /// A reading for each full minute of the 14 days that end `now`, oldest first.
    pub fn readings(&self, now: Timestamp) -> impl Iterator<Item = Reading> + use<> {
        let sensor = *self;
        let last_minute = now.micros().div_euclid(MINUTE_MICROS);
        (last_minute - MINUTES..=last_minute).map(move |minute| {
            let time = Timestamp::from_micros(minute * MINUTE_MICROS);
            Reading { sensor_id: sensor.sensor_id, time, value: sensor.value_at(minute) }
        })
    }

    /// Uniform in the sensor's range, with two decimals.
    fn value_at(&self, minute: i64) -> f64 {
        let (lowest, highest) = self.range;
        let seed = (u64::from(self.sensor_id.cast_unsigned()) << 32) ^ minute.cast_unsigned();
        (lowest + mixed(seed) % (highest - lowest + 1)) as f64 / 100.0
    }
}

/// Steele, Lea and Flood's `SplitMix64`: neighbouring numbers become unrelated ones.
pub fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_reading_each_minute_for_14_days() {
        let readings: Vec<_> = SENSORS[0].readings(time("2026-03-15T12:30:59.9Z")).collect();
        assert_eq!(readings.len(), 20_161);
        assert_eq!(readings[0].time, time("2026-03-01T12:30:00Z"));
        assert_eq!(readings[20_160].time, time("2026-03-15T12:30:00Z"));
        assert!(readings.windows(2).all(|pair| pair[1].time == pair[0].time.plus_micros(MINUTE_MICROS)));
    }

    #[test]
    fn a_later_run_makes_the_same_values_for_the_same_minutes() {
        let first: Vec<_> = SENSORS[1].readings(time("2026-03-15T12:30:00Z")).collect();
        let later: Vec<_> = SENSORS[1].readings(time("2026-03-15T12:40:30Z")).collect();
        assert_eq!(first[10..], later[..later.len() - 10]);
    }

    #[test]
    fn values_fill_their_range_evenly() {
        for (sensor, lowest, highest) in [(SENSORS[0], 15.0, 30.0), (SENSORS[1], 40.0, 60.0)] {
            let readings: Vec<_> = sensor.readings(time("2026-03-15T12:30:00Z")).collect();
            let count = readings.len() as f64;
            let mut tenths = [0_u32; 10];
            let mut sum = 0.0;
            for Reading { value, .. } in readings {
                assert!((lowest..=highest).contains(&value), "{value}");
                tenths[((value - lowest) / (highest - lowest) * 9.999) as usize] += 1;
                sum += value;
            }
            let middle = f64::midpoint(lowest, highest);
            assert!((sum / count - middle).abs() < (highest - lowest) / 100.0, "{}", sum / count);
            assert!(tenths.iter().all(|tenth| (1_800..2_250).contains(tenth)), "{tenths:?}");
        }
    }
}
