//! Unix time as a number. Whole numbers are exact; one with a fraction is the double next to it, rounded to
//! microseconds as pydantic v2 rounds it: what its whole part leaves over, half a microsecond away from zero.

use super::{InvalidTimestamp, MICROS_PER_SECOND, Timestamp};

/// Above this many, a number counts milliseconds, not seconds; pydantic's rule, which clients rely on.
const SECONDS_LIMIT: u64 = 20_000_000_000;
const MICROS_PER_MILLISECOND: i64 = 1_000;

/// Below this many seconds the double next to a decimal of six places rounds to those six places again.
const SIX_PLACES_EXACT_BELOW: u64 = 1 << 32;
/// Doubles from here on have no place for a millisecond's microseconds, and 1,000 times as much fits no `i64`.
const MILLISECONDS_LIMIT: f64 = 9e15;

/// Reads `1728743340`, `1728743340.25`, `1.72874334e9` or `1728743340123`.
pub(super) fn parse(text: &[u8]) -> Result<Timestamp, InvalidTimestamp> {
    let (is_negative, unsigned) = match text {
        [sign @ (b'-' | b'+'), unsigned @ ..] => (*sign == b'-', unsigned),
        unsigned => (false, unsigned),
    };
    let signed = |magnitude: i64| Timestamp(if is_negative { -magnitude } else { magnitude });
    match decimal(unsigned) {
        Some(Decimal { whole, fraction: Fraction::None }) => of_whole(whole).map(signed),
        Some(Decimal { whole, fraction: Fraction::Micros(micros) }) if whole < SIX_PLACES_EXACT_BELOW => {
            Ok(signed(whole as i64 * MICROS_PER_SECOND + micros))
        }
        Some(_) => of_double(text),
        None if unsigned.iter().any(|byte| matches!(byte, b'e' | b'E')) => of_double(text),
        None => Err(InvalidTimestamp),
    }
}

/// Digits, and maybe a point and more of them.
struct Decimal {
    whole: u64,
    fraction: Fraction,
}

/// The digits behind the point.
enum Fraction {
    None,
    /// Six at most, as microseconds.
    Micros(i64),
    /// More than six.
    Longer,
}

fn decimal(text: &[u8]) -> Option<Decimal> {
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    if whole.is_empty() || whole.len() > 18 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append = |number: u64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'));
    let whole = whole.iter().try_fold(0, append)?;
    let fraction = match fraction.len() {
        0 => Fraction::None,
        places @ 1..=6 => {
            let digits = fraction.iter().try_fold(0, append)? as i64;
            Fraction::Micros(digits * 10_i64.pow(6 - places as u32))
        }
        _ => Fraction::Longer,
    };
    Some(Decimal { whole, fraction })
}

fn of_whole(whole: u64) -> Result<i64, InvalidTimestamp> {
    let micros = if whole <= SECONDS_LIMIT { MICROS_PER_SECOND } else { MICROS_PER_MILLISECOND };
    (whole as i64).checked_mul(micros).ok_or(InvalidTimestamp)
}

fn of_double(text: &[u8]) -> Result<Timestamp, InvalidTimestamp> {
    let number: f64 = fast_float2::parse(text).map_err(|_| InvalidTimestamp)?;
    let whole = number.floor();
    if whole.abs() >= MILLISECONDS_LIMIT {
        return Err(InvalidTimestamp);
    }
    let micros =
        if number.abs() <= SECONDS_LIMIT as f64 { MICROS_PER_SECOND } else { MICROS_PER_MILLISECOND };
    let rest = ((number - whole) * micros as f64).round();
    Ok(Timestamp(whole as i64 * micros + rest as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pydantic 2.14.4 makes of these, in microseconds since 1970, whether they stand in quotes or not.
    const BY_PYDANTIC: [(&str, i64); 51] = [
        ("1728743340", 1_728_743_340_000_000),
        ("1728743340.", 1_728_743_340_000_000),
        ("1728743340.25", 1_728_743_340_250_000),
        ("1728743340.123456", 1_728_743_340_123_456),
        ("1728743340.123456789", 1_728_743_340_123_457),
        ("1728743340.999999999", 1_728_743_341_000_000),
        ("1728743340.9999996", 1_728_743_341_000_000),
        ("1728743340.0000005", 1_728_743_340_000_000),
        ("1728743340.0000015", 1_728_743_340_000_001),
        ("1728743340.0000024", 1_728_743_340_000_002),
        ("1728743340.1234565", 1_728_743_340_123_456),
        ("1728743340.1234575", 1_728_743_340_123_457),
        // As Python's `time.time()` prints.
        ("1690475910.7019637", 1_690_475_910_701_964),
        ("1711954477.2160993", 1_711_954_477_216_099),
        ("1784842116.804746", 1_784_842_116_804_746),
        ("1693130014.0199547", 1_693_130_014_019_955),
        ("1701568254.6124542", 1_701_568_254_612_454),
        ("1717476965.7699795", 1_717_476_965_769_979),
        ("1636932068.7709754", 1_636_932_068_770_975),
        ("1702381727.808361", 1_702_381_727_808_361),
        ("1725976544.0433605", 1_725_976_544_043_360),
        ("1758595374.5039907", 1_758_595_374_503_991),
        ("1618824691.2458436", 1_618_824_691_245_844),
        ("1660680252.5249052", 1_660_680_252_524_905),
        // Halves.
        ("0.0000005", 1),
        ("0.0000015", 2),
        ("0.0000025", 3),
        ("2.0000005", 2_000_001),
        ("12345.00000048828125", 12_345_000_000),
        ("1048575.99999952316", 1_048_576_000_000),
        // Below 1970.
        ("-0.5", -500_000),
        ("-1.5", -1_500_000),
        ("-0.0000005", 0),
        ("-1.0000005", -1_000_001),
        ("-1.9999999", -2_000_000),
        // With an exponent.
        ("1e-7", 0),
        ("5e-7", 1),
        ("1.72874334E9", 1_728_743_340_000_000),
        ("1.7287433401234567e9", 1_728_743_340_123_457),
        ("1.7287433401239999e12", 1_728_743_340_124_000),
        // Milliseconds.
        ("1728743340123", 1_728_743_340_123_000),
        ("1728743340123.75", 1_728_743_340_123_750),
        ("1728743340123.4567", 1_728_743_340_123_457),
        ("1728743340123.9999", 1_728_743_340_124_000),
        ("1728743340123.0005", 1_728_743_340_123_000),
        ("-1728743340123.4567", -1_728_743_340_123_457),
        // The border between the two.
        ("20000000000", 20_000_000_000_000_000),
        ("20000000000.0000001", 20_000_000_000_000_000),
        ("20000000000.5", 20_000_000_000_500),
        ("20000000001", 20_000_000_001_000),
        ("-20000000000.5", -20_000_000_000_500),
    ];

    #[test]
    fn rounds_as_pydantic_does() {
        for (text, micros) in BY_PYDANTIC {
            assert_eq!(parse(text.as_bytes()), Ok(Timestamp(micros)), "{text}");
        }
        assert_eq!(parse(b"+1728743340.1234567"), Ok(Timestamp(1_728_743_340_123_457)));
    }

    #[test]
    fn the_decimal_of_six_places_is_that_of_its_double() {
        for whole in [0, 1, 946_684_800, 1_728_743_340, SIX_PLACES_EXACT_BELOW - 1] {
            for micros in (0..1_000_000).step_by(997) {
                for sign in ["", "-"] {
                    let text = format!("{sign}{whole}.{micros:06}");
                    assert_eq!(parse(text.as_bytes()), of_double(text.as_bytes()), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_no_i64_holds_is_no_time() {
        for text in
            ["9999999999999999999", "999999999999999999", "1e16", "-1e300", "9e15", "9000000000000000.5"]
        {
            assert_eq!(parse(text.as_bytes()), Err(InvalidTimestamp), "{text}");
        }
        assert_eq!(parse(b"8999999999999999"), Ok(Timestamp(8_999_999_999_999_999_000)));
    }
}
