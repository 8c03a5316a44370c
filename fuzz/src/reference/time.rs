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

/// Microseconds since 1970 of Unix seconds, or of milliseconds above 2e10: a whole number exactly, any other as the
/// double next to it, of which pydantic rounds what stands above the whole part.
pub fn time_number(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_exponential = text.contains(['e', 'E']);
    // Nineteen digits are past all that a column can hold.
    let is_decimal = is_digits(whole) && whole.len() <= 18 && (fraction.is_empty() || is_digits(fraction));
    if !is_exponential && !is_decimal {
        return None;
    }
    if is_decimal && fraction.is_empty() {
        let number: i128 = text.trim_end_matches('.').parse().ok()?;
        let per_unit = if number.abs() <= SECONDS_MAX { 1_000_000 } else { 1_000 };
        return i64::try_from(number * per_unit).ok();
    }
    let number: f64 = text.parse().ok()?;
    let per_unit: i128 = if number.abs() <= 2e10 { 1_000_000 } else { 1_000 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the bound is looked at"
    )]
    let (whole, rest) =
        (number.floor() as i128, ((number - number.floor()) * per_unit as f64).round() as i128);
    if whole.unsigned_abs() >= 9_000_000_000_000_000 {
        return None;
    }
    i64::try_from(whole * per_unit + rest).ok()
}

/// What stands behind the point, as millionths; the digits behind are cut off.
fn first_six(digits: &str) -> i64 {
    format!("{digits:0<6}")[..6].parse().unwrap_or(0)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
