//! What is wrong with a request, in pydantic's form, which clients know.

use std::fmt::Display;

use serde::Serialize;
use utoipa::ToSchema;

/// Most errors that one answer lists; the others show once these are corrected.
pub(in crate::http) const VALIDATION_ERRORS_MAX: usize = 100;

/// A step on the way to what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Step {
    /// The part of the request, or a field.
    Field(&'static str),
    /// A place in a list, from 0.
    Index(usize),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Fault)]
pub(in crate::http) struct ValidationError {
    /// Where: `["body", "data", 3, "value"]`.
    #[schema(example = json!(["body", "data", 3, "value"]))]
    pub(in crate::http) loc: Vec<Step>,
    /// For people.
    #[schema(example = "Input should be a finite number")]
    pub(in crate::http) msg: String,
    /// For programs.
    #[serde(rename = "type")]
    #[schema(example = "finite_number")]
    pub(in crate::http) kind: &'static str,
}

/// Why one field is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct FieldError {
    pub(in crate::http) kind: &'static str,
    pub(in crate::http) msg: String,
}

impl FieldError {
    pub(in crate::http) fn new(kind: &'static str, msg: impl Into<String>) -> Self {
        Self { kind, msg: msg.into() }
    }

    pub(in crate::http) fn missing() -> Self {
        Self::new("missing", "Field required")
    }

    /// `NaN`, or an infinity.
    pub(in crate::http) fn not_finite() -> Self {
        Self::new("finite_number", "Input should be a finite number")
    }

    pub(in crate::http) fn not_a_string() -> Self {
        Self::new("string_type", "Input should be a valid string")
    }

    pub(in crate::http) fn not_a_list() -> Self {
        Self::new("list_type", "Input should be a valid list")
    }

    /// None of the integers from `min` to `max`.
    pub(in crate::http) fn not_an_integer(min: impl Display, max: impl Display) -> Self {
        Self::new("int_parsing", format!("Input should be a valid integer from {min} to {max}"))
    }

    /// Postgres has no place for it.
    pub(in crate::http) fn nul() -> Self {
        Self::new("string_nul", "String should not contain a NUL character")
    }

    pub(in crate::http) fn not_an_object() -> Self {
        Self::new(
            "model_attributes_type",
            "Input should be a valid dictionary or object to extract fields from",
        )
    }
}

/// Everything that is wrong with a request, up to a bound.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct ValidationErrors(Vec<ValidationError>);

impl ValidationErrors {
    /// Notes an error, unless the list is full.
    pub(in crate::http) fn push(&mut self, loc: &[Step], error: FieldError) {
        if !self.is_full() {
            self.0.push(ValidationError { loc: loc.to_vec(), msg: error.msg, kind: error.kind });
        }
    }

    /// Unwraps a field's value, or notes why there is none.
    pub(in crate::http) fn check<T>(&mut self, loc: &[Step], outcome: Result<T, FieldError>) -> Option<T> {
        outcome.map_err(|error| self.push(loc, error)).ok()
    }

    pub(in crate::http) fn is_full(&self) -> bool {
        self.0.len() >= VALIDATION_ERRORS_MAX
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::http) fn into_vec(self) -> Vec<ValidationError> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_looks_like_pydantics() {
        let mut errors = ValidationErrors::default();
        let loc = [Step::Field("body"), Step::Field("data"), Step::Index(3), Step::Field("value")];
        assert_eq!(errors.check(&loc, Err::<(), _>(FieldError::missing())), None);
        assert_eq!(
            serde_json::to_value(errors.into_vec()).unwrap(),
            serde_json::json!([{"loc": ["body", "data", 3, "value"], "msg": "Field required", "type": "missing"}])
        );
    }

    #[test]
    fn the_list_is_bounded() {
        let mut errors = ValidationErrors::default();
        for _ in 0..1_000 {
            errors.push(&[Step::Field("body")], FieldError::missing());
        }
        assert_eq!(errors.into_vec().len(), VALIDATION_ERRORS_MAX);
    }
}
