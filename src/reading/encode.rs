//! Readings in the topic's format, as the api and `seed` publish them.

use super::Reading;

/// `{"sensor_id":1,"value":21.5,"timestamp":"…"}`, readable by every consumer of the topic.
pub fn single(reading: &Reading) -> String {
    let mut record = String::with_capacity(80);
    write_single(reading, &mut record);
    record
}

/// Appends what [`single`] returns.
pub fn write_single(reading: &Reading, record: &mut String) {
    record.push_str(r#"{"sensor_id":"#);
    record.push_str(itoa::Buffer::new().format(reading.sensor_id));
    record.push(',');
    write_fields(reading, record);
}

/// Appends `{"value":21.5,"timestamp":"…"}`: a reading where its sensor is known, in a list or over HTTP.
pub fn write_item(reading: &Reading, text: &mut String) {
    text.push('{');
    write_fields(reading, text);
}

/// Values are finite, so each is a JSON number, and as short as reads back the same.
fn write_fields(reading: &Reading, text: &mut String) {
    text.push_str(r#""value":"#);
    text.push_str(zmij::Buffer::new().format_finite(reading.value));
    text.push_str(r#","timestamp":""#);
    reading.time.write_to(text);
    text.push_str(r#""}"#);
}

/// Appends one record with as many of `readings`, from the first on, as `max_bytes` hold; returns how many.
///
/// A record holds at least one reading, whatever the limit. One reading stands alone, those of one sensor in a
/// list under its id, those of several sensors in an array.
pub fn write_record(readings: &[Reading], max_bytes: usize, record: &mut String) -> usize {
    let [first, others @ ..] = readings else { return 0 };
    if others.is_empty() {
        write_single(first, record);
        return 1;
    }
    let is_one_sensor = others.iter().all(|reading| reading.sensor_id == first.sensor_id);
    let end = if is_one_sensor {
        record.push_str(r#"{"sensor_id":"#);
        record.push_str(itoa::Buffer::new().format(first.sensor_id));
        record.push_str(r#","data":["#);
        "]}"
    } else {
        record.push('[');
        "]"
    };
    let write = if is_one_sensor { write_item } else { write_single };
    let mut taken = 0;
    for reading in readings {
        let before = record.len();
        if taken > 0 {
            record.push(',');
        }
        write(reading, record);
        if taken > 0 && record.len() + end.len() > max_bytes {
            record.truncate(before);
            break;
        }
        taken += 1;
    }
    record.push_str(end);
    taken
}

/// Records of one sensor's readings, each at most `max_bytes` long, as [`write_record`] makes them.
pub fn batches(readings: &[Reading], max_bytes: usize) -> Vec<String> {
    let (mut records, mut rest) = (Vec::new(), readings);
    while !rest.is_empty() {
        let mut record = String::new();
        let taken = write_record(rest, max_bytes, &mut record);
        records.push(record);
        rest = &rest[taken..];
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
        let of_one: Vec<Reading> = (0..7).map(reading).collect();
        let mut of_two = of_one.clone();
        of_two[3].sensor_id = 4;
        for (readings, max_bytes) in [(&of_one, 0), (&of_one, 80), (&of_one, 150), (&of_one, 10_000)]
            .into_iter()
            .chain([(&of_two, 0), (&of_two, 150), (&of_two, 200), (&of_two, 10_000)])
        {
            let mut sensors = Vec::new();
            for record in batches(readings, max_bytes) {
                let parsed: serde_json::Value = serde_json::from_str(&record).unwrap();
                let items = match &parsed {
                    serde_json::Value::Array(items) => items.clone(),
                    single if single["data"].is_null() => vec![parsed.clone()],
                    batch => batch["data"].as_array().unwrap().clone(),
                };
                assert!(record.len() <= max_bytes || items.len() == 1, "{record}");
                let shared = &parsed["sensor_id"];
                sensors.extend(items.iter().map(|item| match &item["sensor_id"] {
                    serde_json::Value::Null => shared.as_i64(),
                    own => own.as_i64(),
                }));
            }
            let expected: Vec<_> =
                readings.iter().map(|reading| Some(i64::from(reading.sensor_id))).collect();
            assert_eq!(sensors, expected, "{max_bytes}");
        }
        assert!(batches(&[], 100).is_empty());
    }

    #[test]
    fn each_form_says_the_sensor_as_briefly_as_it_can() {
        let mut readings = [reading(0), reading(1)];
        let record = |readings: &[Reading]| {
            let mut record = String::new();
            assert_eq!(write_record(readings, 1_000, &mut record), readings.len());
            record
        };
        assert_eq!(record(&readings[..1]), single(&readings[0]));
        assert!(record(&readings).starts_with(r#"{"sensor_id":3,"data":[{"value":23.5,"#));
        readings[1].sensor_id = 4;
        assert!(record(&readings).starts_with(r#"[{"sensor_id":3,"value":23.5,"#));
    }
}
