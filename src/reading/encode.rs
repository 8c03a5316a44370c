//! Readings in the topic's format, as the api and `seed` publish them.

use std::fmt::Write;

use super::Reading;

/// `{"sensor_id":1,"value":21.5,"timestamp":"…"}`, readable by every consumer of the topic.
pub fn single(reading: &Reading) -> String {
    let mut record = String::with_capacity(80);
    write_single(reading, &mut record);
    record
}

/// Appends what [`single`] returns.
pub fn write_single(reading: &Reading, record: &mut String) {
    write!(
        record,
        r#"{{"sensor_id":{},"value":{:?},"timestamp":"{}"}}"#,
        reading.sensor_id, reading.value, reading.time
    )
    .expect("a String takes all");
}

/// Appends `{"value":21.5,"timestamp":"…"}`: a reading where its sensor is known, in a list or over HTTP.
pub fn write_item(reading: &Reading, text: &mut String) {
    write!(text, r#"{{"value":{:?},"timestamp":"{}"}}"#, reading.value, reading.time)
        .expect("a String takes all");
}

/// `{"sensor_id":1,"data":[…]}` records of one sensor's readings, each at most `max_bytes` long.
///
/// A record holds at least one reading, whatever the limit.
pub fn batches(sensor_id: i32, readings: impl IntoIterator<Item = Reading>, max_bytes: usize) -> Vec<String> {
    const END: &str = "]}";
    let start = format!(r#"{{"sensor_id":{sensor_id},"data":["#);
    let mut records = Vec::new();
    let mut record = start.clone();
    let mut item = String::new();
    for reading in readings {
        item.clear();
        write_item(&reading, &mut item);
        let is_first = record.len() == start.len();
        if !is_first && record.len() + 1 + item.len() + END.len() > max_bytes {
            records.push(std::mem::replace(&mut record, start.clone()) + END);
        } else if !is_first {
            record.push(',');
        }
        record.push_str(&item);
    }
    if record.len() > start.len() {
        records.push(record + END);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Timestamp;

    fn reading(second: i64) -> Reading {
        Reading {
            sensor_id: 3,
            time: Timestamp::from_micros(1_728_743_340_000_000 + second * 1_000_000),
            value: 23.5,
        }
    }

    #[test]
    fn a_single_reading() {
        assert_eq!(single(&reading(0)), r#"{"sensor_id":3,"value":23.5,"timestamp":"2024-10-12T14:29:00Z"}"#);
    }

    #[test]
    fn batches_split_below_the_limit_and_lose_nothing() {
        for max_bytes in [0, 80, 150, 10_000] {
            let records = batches(3, (0..7).map(reading), max_bytes);
            let mut items = 0;
            for record in &records {
                let parsed: serde_json::Value = serde_json::from_str(record).unwrap();
                let data = parsed["data"].as_array().unwrap();
                assert!(record.len() <= max_bytes || data.len() == 1);
                items += data.len();
            }
            assert_eq!(items, 7, "{max_bytes}");
        }
        assert!(batches(3, [], 100).is_empty());
    }
}
