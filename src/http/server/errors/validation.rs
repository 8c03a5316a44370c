//! What is wrong with a request, in pydantic's form, which clients know.

use serde::Serialize;
use utoipa::ToSchema;

/// Faults that one answer lists; what is wrong past them shows once these are mended.
pub(in crate::http) const FAULTS_MAX: usize = 100;

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
pub(in crate::http) struct Fault {
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
pub(in crate::http) struct Refusal {
    pub(in crate::http) kind: &'static str,
    pub(in crate::http) msg: String,
}

impl Refusal {
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
pub(in crate::http) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a refusal, unless the list is full.
    pub(in crate::http) fn push(&mut self, loc: &[Step], refusal: Refusal) {
        if !self.is_full() {
            self.0.push(Fault { loc: loc.to_vec(), msg: refusal.msg, kind: refusal.kind });
        }
    }

    /// Unwraps a field's value, or notes why there is none.
    pub(in crate::http) fn check<T>(&mut self, loc: &[Step], outcome: Result<T, Refusal>) -> Option<T> {
        outcome.map_err(|refusal| self.push(loc, refusal)).ok()
    }

    pub(in crate::http) fn is_full(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::http) fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_looks_like_pydantics() {
        let mut faults = Faults::default();
        let loc = [Step::Field("body"), Step::Field("data"), Step::Index(3), Step::Field("value")];
        assert_eq!(faults.check(&loc, Err::<(), _>(Refusal::missing())), None);
        assert_eq!(
            serde_json::to_value(faults.into_vec()).unwrap(),
            serde_json::json!([{"loc": ["body", "data", 3, "value"], "msg": "Field required", "type": "missing"}])
        );
    }

    #[test]
    fn the_list_is_bounded() {
        let mut faults = Faults::default();
        for _ in 0..1_000 {
            faults.push(&[Step::Field("body")], Refusal::missing());
        }
        assert_eq!(faults.into_vec().len(), FAULTS_MAX);
    }
}
