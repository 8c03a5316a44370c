//! Times and values in text: against `chrono` and the standard library, there and back.

use chrono::{DateTime, Utc};
use sensorpipe::reading::{Timestamp, parse_value};

use super::reference;

/// Any bytes may be a timestamp's or a value's text; the first eight are microseconds, too.
pub fn check(bytes: &[u8]) {
    if let Some(micros) = bytes.first_chunk() {
        written(Timestamp::from_micros(i64::from_le_bytes(*micros)));
    }
    let time = Timestamp::parse_text(bytes).ok();
    let value = parse_value(bytes).ok();
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(time.is_none() && value.is_none(), "neither a time nor a number has bytes beyond ASCII");
        return;
    };
    let micros = time.map(Timestamp::micros);
    assert_eq!(micros, reference::time_text(text), "as a text");
    let of_number = Timestamp::parse_number(bytes).ok().map(Timestamp::micros);
    assert_eq!(of_number, reference::time_number(text), "as a number");
    assert_eq!(value.map(f64::to_bits), reference::number(text).map(f64::to_bits), "as a value");
    // What `chrono` takes as it stands is taken; it knows leap seconds and the Unicode minus besides.
    if let (Ok(theirs), true) = (DateTime::parse_from_rfc3339(text), text.is_ascii())
        && theirs.timestamp_subsec_nanos() < 1_000_000_000
    {
        assert_eq!(micros, Some(theirs.timestamp_micros()), "RFC 3339");
    }
    if let Some(time) = time {
        written(time);
    }
}

/// A time is written as `Display` shows it, which is what `chrono` shows, and reads back the same.
fn written(time: Timestamp) {
    let mut text = String::new();
    time.write_to(&mut text);
    assert_eq!(text, time.to_string());
    let Some(theirs) = DateTime::<Utc>::from_timestamp_micros(time.micros()) else { return };
    if text.len() <= "9999-12-31T23:59:59.999999Z".len() && !text.starts_with(['-', '+']) {
        assert_eq!(text.parse(), Ok(time), "{text}");
        let read = DateTime::parse_from_rfc3339(&text).expect("what is written is RFC 3339");
        assert_eq!(read, theirs, "{text}");
    }
    if time.micros().checked_sub(946_684_800_000_000).is_some() {
        assert_eq!(Timestamp::from_postgres_micros(time.postgres_micros()), time);
    }
}
