//! Readings by the million, no two alike.

use std::{fmt::Write, ops::Range};

use crate::Record;

/// 2024-01-01T00:00:00Z.
const START_MS: i64 = 1_704_067_200_000;

/// A series of records that each hold readings of one sensor; no two readings have the same sensor and time.
#[derive(Clone, Copy, Debug)]
pub struct Readings {
    /// Sensors 1 to this take turns.
    pub sensors: i32,
    /// Readings in a record; one is written in the single form, more in the batch form.
    pub per_record: i64,
    /// Time between a sensor's readings.
    pub step_ms: i64,
}

impl Readings {
    /// The records with these numbers, keyed by sensor. Readings are numbered from 0 for each sensor, and a reading's
    /// value is its number.
    pub fn records(self, numbers: Range<i64>) -> impl Iterator<Item = Record> + Send + 'static {
        numbers.map(move |number| {
            let sensor_id = number % i64::from(self.sensors) + 1;
            let first = number / i64::from(self.sensors) * self.per_record;
            let mut json = format!(r#"{{"sensor_id":{sensor_id},"#);
            if self.per_record == 1 {
                let _ = write!(json, "{}}}", self.fields(first));
            } else {
                json.push_str(r#""data":["#);
                for n in first..first + self.per_record {
                    let _ = write!(json, "{{{}}},", self.fields(n));
                }
                json.pop();
                json.push_str("]}");
            }
            Record::new(json).key(sensor_id.to_string())
        })
    }

    /// The sum of the values of the readings in the first `count` records.
    pub fn sum_of_values(self, count: i64) -> i64 {
        let (sensors, per_record) = (i64::from(self.sensors), self.per_record);
        (0..sensors)
            .map(|sensor| {
                let records = count / sensors + i64::from(sensor < count % sensors);
                let readings = records * per_record;
                readings * (readings - 1) / 2
            })
            .sum()
    }

    fn fields(self, n: i64) -> String {
        format!(r#""value":{n},"timestamp":{}"#, START_MS + n * self.step_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_readings() {
        // Sensor 1 has 0 to 5, sensors 2 and 3 have 0 to 2.
        let readings = Readings { sensors: 3, per_record: 3, step_ms: 1 };
        assert_eq!(readings.sum_of_values(4), 15 + 3 + 3);
    }
}
