//! Members whose names mean a time, in place of `timestamp`.

/// Names that mean a time, in lower case and without spaces, `@`, `_`, `-` and `.`: besides all that contain `timestamp`.
const TIME_NAMES: [&[u8]; 22] = [
    b"time",
    b"ts",
    b"t",
    b"date",
    b"datetime",
    b"epoch",
    b"epochms",
    b"unixtime",
    b"unix",
    b"timems",
    b"timeutc",
    b"utctime",
    b"isotime",
    b"tsms",
    b"tstamp",
    b"createdat",
    b"eventtime",
    b"measuredat",
    b"observedat",
    b"readingtime",
    b"recordedat",
    b"sampledat",
];

/// Longer ones name something else.
const NAME_MAX_BYTES: usize = 32;

/// Whether a member's name means the time of a reading, however it is spelt: `time`, `ts`, `Timestamp`, `@timestamp`,
/// `created_at`, `eventTime`.
pub fn is_time_name(name: &[u8]) -> bool {
    let mut plain = [0; NAME_MAX_BYTES];
    let mut length = 0;
    for byte in name {
        if matches!(byte, b' ' | b'\t' | b'@' | b'_' | b'-' | b'.') {
            continue;
        }
        let Some(place) = plain.get_mut(length) else { return false };
        *place = byte.to_ascii_lowercase();
        length += 1;
    }
    let plain = &plain[..length];
    TIME_NAMES.contains(&plain) || plain.windows(b"timestamp".len()).any(|part| part == b"timestamp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_spelt() {
        for name in [
            "time",
            "ts",
            "t",
            "T",
            "Time",
            "Timestamp",
            "TIMESTAMP",
            "timestamp ",
            " timestamp",
            "@timestamp",
            "time_stamp",
            "time-stamp",
            "timeStamp",
            "date",
            "datetime",
            "date_time",
            "DateTime",
            "created_at",
            "createdAt",
            "event_time",
            "eventTime",
            "event_timestamp",
            "timestamp_ms",
            "timestampUtc",
            "measured_at",
            "recordedAt",
            "_ts",
            "unix_time",
            "epoch",
            "epoch_ms",
            "event.time",
        ] {
            assert!(is_time_name(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "uptime",
            "runtime",
            "timezone",
            "time_zone",
            "tz",
            "temperature",
            "unit",
            "lat",
            "format",
            "interval",
            "status",
            "dates",
            "update",
            "value",
            "a_member_with_a_very_long_name_that_ends_in_timestamp",
            "tt",
            "@",
            "čas",
        ] {
            assert!(!is_time_name(name.as_bytes()), "{name}");
        }
    }
}
