//! Times in all the forms that are taken, brought into the one that `chrono` reads.

use chrono::DateTime;

/// Above this many, a number counts milliseconds.
const SECONDS_MAX: i128 = 20_000_000_000;

/// Microseconds since 1970 of a date-time, a date, or a number, with white space around it.
pub fn time_text(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    date_time(text).or_else(|| time_number(text))
}

/// Brings `2024-10-12 14:29+02` into RFC 3339, which `chrono` reads: calendar, clock and offset are its.
fn date_time(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ', '_']) else {
        return if rest.is_empty() { micros(&format!("{date}T00:00:00Z")) } else { None };
    };
    let (clock, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
    let (clock, fraction) = match clock.split_once(['.', ',']) {
        Some((clock, digits)) if clock.len() == 8 && is_digits(digits) => (clock.to_owned(), digits),
        Some(_) => return None,
        None if clock.len() == 5 => (format!("{clock}:00"), ""),
        None => (clock.to_owned(), ""),
    };
    // `chrono` takes a leap second, which no column can hold.
    if clock.ends_with(":60") {
        return None;
    }
    let offset = match (offset, offset.len()) {
        ("" | "z", _) => "Z".to_owned(),
        (_, 3) => format!("{offset}:00"),
        (_, 5) => format!("{}:{}", &offset[..3], &offset[3..]),
        _ => offset.to_owned(),
    };
    Some(micros(&format!("{date}T{clock}{offset}"))? + first_six(fraction))
}

fn micros(rfc_3339: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(rfc_3339).ok().map(|time| time.timestamp_micros())
}

/// Microseconds since 1970 of Unix seconds, or of milliseconds above 2e10.
pub fn time_number(text: &str) -> Option<i64> {
    if text.contains(['e', 'E']) {
        return exponential(text);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // Nineteen digits are past all that a column can hold.
    if !is_digits(whole) || whole.len() > 18 || !(fraction.is_empty() || is_digits(fraction)) {
        return None;
    }
    let millionths = whole.parse::<i128>().ok()? * 1_000_000 + i128::from(first_six(fraction));
    let magnitude = if millionths <= SECONDS_MAX * 1_000_000 { millionths } else { millionths / 1_000 };
    i64::try_from(sign * magnitude).ok()
}

/// A number with an exponent is the double next to it.
fn exponential(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    let per_unit = if number.abs() <= 2e10 { 1e6 } else { 1e3 };
    let micros = (number * per_unit).trunc();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the bound is looked at first"
    )]
    (micros.abs() < i64::MAX as f64).then_some(micros as i64)
}

/// What stands behind the point, as millionths; the digits behind are cut off.
fn first_six(digits: &str) -> i64 {
    format!("{digits:0<6}")[..6].parse().unwrap_or(0)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
