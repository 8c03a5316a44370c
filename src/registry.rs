//! Which sensors there are, as their own topic says.
//!
//! ```text
//! POST /sensors ─┐            ┌─> whoever makes a sensor: whether an id is taken
//! a worker ──────┼─> topic ───┤
//!                │ compacted  └─> a worker: what the table has lost
//! ```
//!
//! There are two kinds of records. A claim takes an id for a sensor that is about to be made; of several claims of an id
//! the first one counts, for everybody and for ever, and the others are nothing. So whoever makes a sensor publishes a claim
//! before it commits, and reads up to it. Each claim has a key of its own, which compaction leaves. A state says what a
//! sensor is by now, or that it was deleted; its key is the id, so that compaction leaves the last one.

mod claims;
mod comparison;
mod index;
#[cfg(test)]
mod simulation;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

pub use self::{
    claims::Taken,
    comparison::{Known, Lost, Row},
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
    /// Tells a claim from all others; none of a state.
    pub claim: Option<u64>,
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Wire {
    sensor_id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sensor: Option<Description>,
}

impl SensorRecord {
    /// What a sensor is by now; none where it was deleted.
    pub fn state(sensor_id: i32, sensor: Option<Description>) -> Self {
        Self { sensor_id, sensor, claim: None }
    }

    /// The key of the record.
    pub fn key(&self) -> String {
        match self.claim {
            Some(claim) => format!("{}/{claim:016x}", self.sensor_id),
            None => self.sensor_id.to_string(),
        }
    }

    /// The value of the record.
    pub fn encode(&self) -> String {
        let wire = Wire {
            sensor_id: self.sensor_id,
            claim: self.claim.map(|claim| format!("{claim:016x}")),
            deleted: self.sensor.is_none(),
            sensor: self.sensor.clone(),
        };
        serde_json::to_string(&wire).expect("texts and numbers are JSON")
    }

    /// Reads a value; none where it is not of this kind.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let Wire { sensor_id, claim, deleted, sensor } = serde_json::from_slice(value).ok()?;
        let claim = match claim {
            Some(claim) => Some(u64::from_str_radix(&claim, 16).ok()?),
            None => None,
        };
        match (deleted, sensor) {
            (true, _) => Some(Self { sensor_id, sensor: None, claim }),
            (false, Some(sensor)) => Some(Self { sensor_id, sensor: Some(sensor), claim }),
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
        let record = |claim| SensorRecord { sensor_id: 3, sensor: Some(sensor.clone()), claim };
        for (record, key, text) in [
            (record(None), "3", r#"{"sensor_id":3,"sensor_type":"t","description":null,"location":"L"}"#),
            (
                record(Some(255)),
                "3/00000000000000ff",
                r#"{"sensor_id":3,"claim":"00000000000000ff","sensor_type":"t","description":null,"location":"L"}"#,
            ),
            (SensorRecord::state(-4, None), "-4", r#"{"sensor_id":-4,"deleted":true}"#),
        ] {
            assert_eq!(record.key(), key);
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
