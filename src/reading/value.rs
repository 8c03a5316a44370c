//! A reading's value: a finite number, or one in quotes.

/// The text is not a finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// Not a number at all.
    #[error("not a number")]
    NotANumber,
    /// A number past the range of a double, or `NaN`, or an infinity.
    #[error("not a finite number")]
    NotFinite,
}

/// Reads a decimal number, correctly rounded to the nearest double.
pub fn parse_value(text: &[u8]) -> Result<f64, InvalidValue> {
    let value: f64 = fast_float2::parse(text.trim_ascii()).map_err(|_| InvalidValue::NotANumber)?;
    if value.is_finite() { Ok(value) } else { Err(InvalidValue::NotFinite) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_in_every_form() {
        for (text, value) in
            [("23.5", 23.5), (" -1 ", -1.0), ("+2", 2.0), ("1e3", 1_000.0), (".5", 0.5), ("0", 0.0)]
        {
            assert_eq!(parse_value(text.as_bytes()), Ok(value), "{text}");
        }
        for text in ["NaN", "nan", "Infinity", "-inf", "1e999"] {
            assert_eq!(parse_value(text.as_bytes()), Err(InvalidValue::NotFinite), "{text}");
        }
        for text in ["", "abc", "1,5", "0x1p3", "1.2.3"] {
            assert_eq!(parse_value(text.as_bytes()), Err(InvalidValue::NotANumber), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips_every_finite_double(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(parse_value(value.to_string().as_bytes()).unwrap().to_bits(), value.to_bits());
        }
    }
}
