use super::*;
use crate::{
    http::ingest::receipt_clock::ReceiptClock,
    reading::{Timestamp, Window},
};

const NOW: Timestamp = Timestamp::from_micros(1_728_743_340_000_000);

fn parsed(body: &str) -> Result<(Vec<Reading>, serde_json::Value), String> {
    let window = Window { since: Timestamp::from_micros(0), until: NOW.plus_micros(86_400_000_000) };
    let clock = ReceiptClock::default();
    let rules = ReadingRules { sensor_id: Some(3), window, now: NOW, clock: &clock };
    let mut errors = ValidationErrors::default();
    let readings = parse(body.as_bytes(), &rules, &mut errors)?;
    Ok((readings, serde_json::to_value(errors.into_vec()).unwrap()))
}

fn readings(body: &str) -> Vec<(i64, f64)> {
    let (readings, errors) = parsed(body).unwrap();
    assert_eq!(errors, serde_json::json!([]), "{body}");
    readings.iter().map(|r| (r.time.micros() - NOW.micros(), r.value)).collect()
}

/// Each error's `loc` and `type`.
fn errors(body: &str) -> Vec<(String, String)> {
    let (_, errors) = parsed(body).unwrap();
    let text = |value: &serde_json::Value| value.to_string().replace('"', "");
    errors.as_array().unwrap().iter().map(|error| (text(&error["loc"]), text(&error["type"]))).collect()
}

#[test]
fn one_or_many() {
    assert_eq!(readings(r#"{"value":23.5,"timestamp":"2024-10-12T14:29:00"}"#), [(0, 23.5)]);
    assert_eq!(readings(r#" {"extra":[{}],"value":"23.5"} "#), [(0, 23.5)]);
    assert_eq!(readings(r#"{"value":1,"data":null}"#), [(0, 1.0)]);
    assert_eq!(readings(r#"{"value":1,"value":2}"#), [(0, 2.0)]);
    assert_eq!(readings(r#"{"value":null,"data":[{"value":1}]}"#), [(0, 1.0)]);
    assert_eq!(
        readings(r#"{"data":[{"value":1,"timestamp":1728743341},{"value":"2","timestamp":"1728743342"}]}"#),
        [(1_000_000, 1.0), (2_000_000, 2.0)]
    );
    assert_eq!(readings(r#"{"timestamp":"ignored","data":[{"value":1},{"value":2}]}"#), [(0, 1.0), (1, 2.0)]);
}

#[test]
fn every_fault_is_named() {
    assert_eq!(
        errors(r#"{"data":[{"value":"x"},3,{"value":1},{"value":[],"timestamp":"never"},{}]}"#),
        [
            ("[body,data,0,value]", "float_parsing"),
            ("[body,data,1]", "model_attributes_type"),
            ("[body,data,3,value]", "float_type"),
            ("[body,data,3,timestamp]", "datetime_parsing"),
            ("[body,data,4,value]", "missing"),
        ]
        .map(|(loc, kind)| (loc.to_owned(), kind.to_owned()))
    );
    for (body, loc, kind) in [
        ("{}", "[body,value]", "missing"),
        (r#"{"value":null}"#, "[body,value]", "float_type"),
        (r#"{"value":"NaN"}"#, "[body,value]", "finite_number"),
        (r#"{"value":1e999}"#, "[body,value]", "finite_number"),
        (r#"{"value":1,"timestamp":"9999-01-01"}"#, "[body,timestamp]", "time_out_of_window"),
        (r#"{"value":1,"timestamp":-1}"#, "[body,timestamp]", "time_out_of_window"),
        (r#"{"value":1,"timestamp":true}"#, "[body,timestamp]", "datetime_type"),
        (r#"{"value":1,"timestamp":null}"#, "[body,timestamp]", "datetime_type"),
        (r#"{"value":1,"time":"2024-10-12"}"#, "[body,timestamp]", "missing"),
        (r#"{"Timestamp":1728743340,"value":1}"#, "[body,timestamp]", "missing"),
        (r#"{"data":[{"value":1,"\u0074s":null}]}"#, "[body,data,0,timestamp]", "missing"),
        (r#"{"sensor_id":4,"value":1}"#, "[body,sensor_id]", "value_error"),
        (r#"{"data":[{"value":1},{"value":1,"sensor_id":"4"}]}"#, "[body,data,1,sensor_id]", "value_error"),
        (r#"{"value":NaN}"#, "[body,value]", "finite_number"),
        (r#"{"data":[{"value":1},{"value":-Infinity}]}"#, "[body,data,1,value]", "finite_number"),
        (r#"{"data":{"a":[1]}}"#, "[body,data]", "list_type"),
        (r#"{"data":"x"}"#, "[body,data]", "list_type"),
        (r#"{"data":true}"#, "[body,data]", "list_type"),
        (r#"{"data":-1.5}"#, "[body,data]", "list_type"),
        (r#"{"data":[{"value":1}],"value":1}"#, "[body]", "value_error"),
        ("[]", "[body]", "model_attributes_type"),
        ("null", "[body]", "model_attributes_type"),
        (" 3", "[body]", "model_attributes_type"),
    ] {
        assert_eq!(errors(body), [(loc.to_owned(), kind.to_owned())], "{body}");
    }
}

#[test]
fn what_is_no_json_is_told_from_what_is_invalid() {
    for body in ["", "{", "{\"value\":1", "{\"value\":1} x", "nope", "{\"data\":[{\"value\":\"x\"}", "[1,]"] {
        assert!(parsed(body).is_err(), "{body}");
    }
    assert!(parsed(r#"{"data":[],"data":[{"value":1}]}"#).is_err());
}

#[test]
fn the_number_of_readings_is_bounded() {
    let body = format!(r#"{{"data":[{}{{"value":1}}]}}"#, r#"{"value":1},"#.repeat(READINGS_MAX));
    assert_eq!(errors(&body), [("[body,data]".to_owned(), "too_long".to_owned())]);
}

#[test]
fn what_the_old_app_took_is_taken() {
    assert_eq!(readings(r#"{"data":[]}"#), []);
    assert_eq!(readings(r#"{"value":true}"#), [(0, 1.0)]);
    assert_eq!(readings(r#"{"value":false}"#), [(0, 0.0)]);
    for foreign in [r#""x""#, "3", "true", r#"{"a":[1]}"#] {
        assert_eq!(readings(&format!(r#"{{"value":2,"data":{foreign}}}"#)), [(0, 2.0)], "{foreign}");
        assert_eq!(readings(&format!(r#"{{"data":{foreign},"value":2}}"#)), [(0, 2.0)], "{foreign}");
    }
    for own in ["3", "\"3\"", "null", "\"outdoor\"", "[4]"] {
        assert_eq!(readings(&format!(r#"{{"sensor_id":{own},"value":2}}"#)), [(0, 2.0)], "{own}");
    }
    assert_eq!(readings(r#"{"time":5,"timestamp":1728743341,"ts":6,"value":1}"#), [(1_000_000, 1.0)]);
}

#[test]
fn what_is_no_json_is_named_by_its_item() {
    for (body, item) in [
        (r#"{"data":[{"value":1},{"value":.5},{"value":2}]}"#, "in item 1 of `data`"),
        (r#"{"data":[{"value":1},{"value":2},{"val"#, "in item 2 of `data`"),
        (r#"{"unit":"C","data":[01]}"#, "in item 0 of `data`"),
    ] {
        let error = parsed(body).unwrap_err();
        assert!(error.ends_with(item), "{error}");
    }
    let error = parsed(r#"{"value":.5}"#).unwrap_err();
    assert!(error.contains("column") && !error.contains("item"), "{error}");
}
