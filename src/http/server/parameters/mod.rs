//! A request's parameters, taken one by one; every error is kept for the answer.

pub(in crate::http) mod cursor;
pub(in crate::http) mod path;
mod query_string;
pub(in crate::http) mod time_range;

use self::query_string::Query;
use super::errors::{
    ApiError,
    validation::{FieldError, Step, ValidationErrors},
};

/// The part of a request that parameters stand in.
const QUERY: Step = Step::Field("query");

/// What was asked for and what is wrong with it.
#[derive(Debug)]
pub(in crate::http) struct Parameters<'a> {
    query: Query<'a>,
    errors: ValidationErrors,
}

impl<'a> Parameters<'a> {
    pub(in crate::http) fn of(query: Option<&'a str>) -> Self {
        Self { query: Query::parse(query), errors: ValidationErrors::default() }
    }

    /// The parameter's value; none where it is absent or, which is noted, no such value.
    pub(in crate::http) fn take<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, FieldError>,
    ) -> Option<T> {
        let outcome = self.query.get(name).map(parse).transpose();
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
    text.parse().ok().filter(|number| (1..=max).contains(number)).ok_or_else(|| {
        FieldError::new("int_parsing", format!("Input should be a valid integer from 1 to {max}"))
    })
}
