//! Which sensors there are, as their own topic says.
//!
//! ```text
//! POST /sensors ─┐            ┌─> whoever makes a sensor: whether an id is taken
//! a worker ──────┼─> topic ───┤
//!                │ compacted  └─> a worker: what the table has lost
//! ```
//!
//! A record is a sensor as it was at that moment, keyed by its id. The first record of an id takes it, whatever becomes of
//! the database: whoever makes a sensor publishes it before it commits, and reads up to its own record.

mod claims;
mod index;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

pub use self::{
    claims::Taken,
    index::{Latest, Registry},
};

/// What is said of a sensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Description {
    /// What it measures.
    pub sensor_type: String,
    /// What it is.
    #[serde(default)]
    pub description: Option<String>,
    /// Where it is.
    #[serde(default)]
    pub location: Option<String>,
}

/// A record of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorRecord {
    /// The sensor's id.
    pub sensor_id: i32,
    /// What it is; none where it was deleted. Its id stays taken.
    pub sensor: Option<Description>,
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Wire {
    sensor_id: i32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sensor: Option<Description>,
}

impl SensorRecord {
    /// The value of the record.
    pub fn encode(&self) -> String {
        let wire =
            Wire { sensor_id: self.sensor_id, deleted: self.sensor.is_none(), sensor: self.sensor.clone() };
        serde_json::to_string(&wire).expect("texts and numbers are JSON")
    }

    /// Reads a value; none where it is not of this kind.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let Wire { sensor_id, deleted, sensor } = serde_json::from_slice(value).ok()?;
        match (deleted, sensor) {
            (true, _) => Some(Self { sensor_id, sensor: None }),
            (false, Some(sensor)) => Some(Self { sensor_id, sensor: Some(sensor) }),
            (false, None) => None,
        }
    }
}

impl Description {
    /// Tells it from others within this process.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_are_written() {
        let sensor =
            Description { sensor_type: "t".to_owned(), description: None, location: Some("L".to_owned()) };
        for (record, text) in [
            (
                SensorRecord { sensor_id: 3, sensor: Some(sensor) },
                r#"{"sensor_id":3,"sensor_type":"t","description":null,"location":"L"}"#,
            ),
            (SensorRecord { sensor_id: -4, sensor: None }, r#"{"sensor_id":-4,"deleted":true}"#),
        ] {
            assert_eq!(record.encode(), text);
            assert_eq!(SensorRecord::decode(text.as_bytes()), Some(record));
        }
    }

    #[test]
    fn what_is_no_sensor_is_no_record() {
        for value in [
            "",
            "null",
            r#"{"sensor_id":3}"#,
            r#"{"sensor_type":"t"}"#,
            r#"{"sensor_id":9999999999,"deleted":true}"#,
        ] {
            assert_eq!(SensorRecord::decode(value.as_bytes()), None, "{value}");
        }
        let later = br#"{"sensor_id":3,"sensor_type":"t","name":"n","tags":{}}"#;
        assert!(SensorRecord::decode(later).is_some(), "a later version may say more");
    }
}
