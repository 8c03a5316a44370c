//! A request's parameters, taken one by one; every error is kept for the answer.

pub(in crate::http) mod cursor;
pub(in crate::http) mod path;
pub(in crate::http) mod time_range;

use std::borrow::Cow;

use super::errors::{
    ApiError,
    validation::{FieldError, Step, ValidationErrors},
};

/// The part of a request that parameters stand in.
const QUERY: Step = Step::Field("query");

/// What was asked for and what is wrong with it.
#[derive(Debug)]
pub(in crate::http) struct Parameters<'a> {
    /// Names and values behind the question mark, decoded.
    query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    errors: ValidationErrors,
}

impl<'a> Parameters<'a> {
    /// Every text is a query; what is not UTF-8 in it becomes U+FFFD.
    pub(in crate::http) fn of(query: Option<&'a str>) -> Self {
        let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
        Self { query, errors: ValidationErrors::default() }
    }

    /// The parameter's value, of several the last one's; none where it is absent or, which is noted, no such value.
    pub(in crate::http) fn take<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, FieldError>,
    ) -> Option<T> {
        let value = self.query.iter().rev().find(|(other, _)| other == name).map(|(_, value)| &**value);
        let outcome = value.map(parse).transpose();
        self.errors.check(&[QUERY, Step::Field(name)], outcome).flatten()
    }

    /// A part of the path; none where it is, which is noted, no such value.
    pub(in crate::http) fn of_path<T>(
        &mut self,
        name: &'static str,
        parsed: Result<T, FieldError>,
    ) -> Option<T> {
        self.errors.check(&[Step::Field("path"), Step::Field(name)], parsed)
    }

    /// The sensor of the path; any one where it is none, which is noted.
    pub(in crate::http) fn sensor_id(&mut self, text: &str) -> i32 {
        self.of_path("sensor_id", path::sensor_id(text)).unwrap_or_default()
    }

    /// Notes what is wrong with parameters that are well-formed each for itself.
    pub(in crate::http) fn refuse(&mut self, name: &'static str, error: FieldError) {
        self.errors.push(&[QUERY, Step::Field(name)], error);
    }

    /// Whether nothing was wrong.
    pub(in crate::http) fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.errors)) }
    }
}

/// An error that only the whole request shows.
pub(in crate::http) fn invalid(name: &'static str, error: FieldError) -> ApiError {
    let mut parameters = Parameters::of(None);
    parameters.refuse(name, error);
    ApiError::Invalid(parameters.errors)
}

/// One of a few words.
pub(in crate::http) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, FieldError> {
    words.iter().find(|(word, _)| *word == text).map(|&(_, meaning)| meaning).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        FieldError::new("enum", format!("Input should be {}", words.join(" or ")))
    })
}

/// A whole number from 1 to `max`.
pub(in crate::http) fn positive(text: &str, max: u64) -> Result<u64, FieldError> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| FieldError::not_an_integer(1, max))
}

/// The digits of a whole number from `min` to `max`, without a sign.
pub(in crate::http) fn digits(text: &str, min: i64, max: i64) -> Result<i64, FieldError> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_digits && (min..=max).contains(number));
    number.ok_or_else(|| FieldError::not_an_integer(min, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts() {
        let mut parameters = Parameters::of(Some("a=1&b=x+y&a=%32&c"));
        for (name, value) in [("a", Some("2")), ("b", Some("x y")), ("c", Some("")), ("d", None)] {
            assert_eq!(parameters.take(name, |text| Ok(text.to_owned())).as_deref(), value);
        }
        assert_eq!(Parameters::of(None).take("a", |text| Ok(text.to_owned())), None);
    }

    #[test]
    fn digits_are_a_number_within_bounds() {
        assert_eq!(digits("9223372036854775807", 1, i64::MAX), Ok(i64::MAX));
        for text in ["0", "-1", "+1", "1.0", "", "9223372036854775808", "one"] {
            assert_eq!(digits(text, 1, i64::MAX).unwrap_err().kind, "int_parsing", "{text}");
        }
    }
}
