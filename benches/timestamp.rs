//! Texts to times: with our parser, and with speedate.

use std::{hint::black_box, sync::LazyLock};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sensorpipe::reading::Timestamp;
use speedate::{
    Date, DateTime, DateTimeConfig, IntFloat, MicrosecondsPrecisionOverflowBehavior, TimeConfig,
    float_parse_bytes,
};

type Parse = fn(&[u8]) -> Option<i64>;

const PARSERS: [(&str, Parse); 2] = [("ours", with_ours), ("speedate", with_speedate)];

/// Digits below a microsecond are cut off; what names no offset is UTC.
static CONFIG: LazyLock<DateTimeConfig> = LazyLock::new(|| DateTimeConfig {
    time_config: TimeConfig {
        microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
        unix_timestamp_offset: None,
    },
    ..DateTimeConfig::default()
});

fn with_ours(text: &[u8]) -> Option<i64> {
    Timestamp::parse_text(text).ok().map(Timestamp::micros)
}

/// The forms that we take: what speedate takes besides is refused, what it does not take is helped.
fn with_speedate(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    if let Ok(time) = DateTime::parse_bytes_rfc3339_with_config(text, &CONFIG.time_config) {
        // speedate takes U+2212 for a minus.
        return text.is_ascii().then(|| micros(&time));
    }
    // `+02` is an offset as well.
    if let [.., b'+' | b'-', h1, h0] = text
        && text.len() > 13
        && h1.is_ascii_digit()
        && h0.is_ascii_digit()
    {
        let time = DateTime::parse_bytes_rfc3339_with_config(&[text, b"00"].concat(), &CONFIG.time_config);
        return time.ok().map(|time| micros(&time));
    }
    if let Ok(date) = Date::parse_bytes_rfc3339(text) {
        return Some(date.timestamp() * 1_000_000);
    }
    let time = match float_parse_bytes(text) {
        IntFloat::Int(number) => DateTime::from_timestamp_with_config(number, 0, &CONFIG),
        IntFloat::Float(number) => DateTime::from_float_with_config(number, &CONFIG),
        IntFloat::Err => {
            let number = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?;
            DateTime::from_float_with_config(number.is_finite().then_some(number)?, &CONFIG)
        }
    };
    time.ok().map(|time| micros(&time))
}

fn micros(time: &DateTime) -> i64 {
    time.timestamp_tz() * 1_000_000 + i64::from(time.time.microsecond)
}

/// As the load generator, our api and most producers write them.
fn date_times() -> Vec<String> {
    (0..10_000_i64)
        .map(|number| Timestamp::from_micros(1_772_712_000_000_000 + number * 1_234_567).to_string())
        .collect()
}

fn offsets() -> Vec<String> {
    let at = |number: u32| format!("2026-03-05T{:02}:{:02}:59.5+02:00", number % 24, number % 60);
    (0..10_000).map(at).collect()
}

fn unix_seconds() -> Vec<String> {
    (0..10_000).map(|number| format!("{}.{:03}", 1_772_712_000 + number, number % 1_000)).collect()
}

/// One for each kind of good and bad text.
const TEXTS: [&str; 40] = [
    "2024-10-12T14:29:00",
    "2024-10-12 14:29:00",
    "2024-10-12T14:29",
    "2024-10-12t14:29:00z",
    "2024-10-12T14:29:00Z",
    "2024-10-12T14:29:00.000000Z",
    "2024-10-12T14:29:00.0000009",
    "2024-10-12T16:29:00+02:00",
    "2024-10-12T16:29:00+0200",
    "2024-10-12 16:29+02",
    "2024-10-11T22:59:00-15:30",
    " 2024-10-12T14:29:00 ",
    "2024-10-12",
    "1728743340",
    "1728743340.0",
    "1728743340000",
    "1728743340000.0004",
    "1.72874334e9",
    "1728743340.123456789",
    "-1.5",
    "20000000000",
    "20000000001",
    "9999-12-31T23:59:59Z",
    "",
    " ",
    "now",
    "2024-13-01",
    "2024-02-30",
    "2023-02-29T00:00",
    "2024-10-12T24:00:00",
    "2024-10-12T14:60:00",
    "2024-10-12T14:29:60",
    "2024-10-12T14",
    "2024-10-12T14:29:00.",
    "2024-10-12T14:29:00,5",
    "2024-10-12T14:29:00+25:00",
    "2024-10-12_14:29:00",
    "24-10-12T14:29:00",
    "1e400",
    "NaN",
];

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timestamp");
    for (kind, texts) in
        [("date-times", date_times()), ("with offsets", offsets()), ("Unix seconds", unix_seconds())]
    {
        group.throughput(Throughput::Elements(texts.len() as u64));
        for text in texts.iter().map(String::as_str).chain(TEXTS) {
            assert_eq!(with_ours(text.as_bytes()), with_speedate(text.as_bytes()), "{text}");
        }
        for (name, parse) in PARSERS {
            group.bench_function(BenchmarkId::new(name, kind), |bencher| {
                bencher.iter(|| {
                    for text in &texts {
                        black_box(parse(black_box(text.as_bytes())));
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
