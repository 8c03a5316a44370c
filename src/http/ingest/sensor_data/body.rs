//! The body of a reading, or of many: JSON in, valid readings or every error out.

use super::syntax::syntax_error;
use crate::{
    http::{
        ingest::reading_rules::ReadingRules,
        server::{FieldError, Step, ValidationErrors},
    },
    reading::{
        Reading,
        decode::{Fault, Listed, Token, read_for_sensor},
    },
};

/// Most readings in one request. In the topic's format that many are half of what the producer's queue holds.
pub(in crate::http) const READINGS_MAX: usize = 500_000;

const BODY: Step = Step::Field("body");
const DATA: Step = Step::Field("data");

/// Reads `{"value": …, "timestamp": …}` or `{"data": [ … ]}`; other fields are ignored.
///
/// What is invalid goes to `errors`, and the readings are only worth something where there is none.
/// The error says why the text is no JSON, and in which item.
pub(in crate::http) fn parse(
    body: &[u8],
    rules: &ReadingRules<'_>,
    errors: &mut ValidationErrors,
) -> Result<Vec<Reading>, String> {
    let mut readings = Vec::new();
    let read = read_for_sensor(body, &mut |index, item| {
        // The text is read to its end whatever was found, so that broken JSON is always said first.
        if index < READINGS_MAX && !errors.is_full() {
            let loc = [BODY, DATA, Step::Index(index)];
            match item {
                Some(members) => readings.extend(rules.reading(members, &loc, errors)),
                None => errors.push(&loc, FieldError::not_an_object()),
            }
        }
    });
    let (members, list) = match read {
        Ok(Some(object)) => object,
        Ok(None) => {
            errors.push(&[BODY], FieldError::not_an_object());
            return Ok(Vec::new());
        }
        Err(Fault::NotFinite(item)) => {
            let value = Step::Field("value");
            let error = FieldError::not_finite();
            match item {
                Some(index) => errors.push(&[BODY, DATA, Step::Index(index), value], error),
                None => errors.push(&[BODY, value], error),
            }
            return Ok(Vec::new());
        }
        Err(Fault::Malformed(item)) => {
            let error = syntax_error(body).unwrap_or_else(|| "too many nested arrays or objects".to_owned());
            return Err(match item {
                Some(index) => format!("{error}, in item {index} of `data`"),
                None => error,
            });
        }
    };
    if let Some(Listed::Items(count)) = list
        && count > READINGS_MAX
    {
        let msg = format!("List should have at most {READINGS_MAX} items after validation, not {count}");
        errors.push(&[BODY, DATA], FieldError::new("too_long", msg));
    }
    let has_value = members.value.is_some_and(|value| value != Token::Null);
    match list {
        Some(Listed::Items(_)) if has_value => {
            // Taking one of them would lose the other without a word.
            let msg = "Input should have either `value` or `data`, not both";
            errors.push(&[BODY], FieldError::new("value_error", msg));
        }
        Some(Listed::Items(_)) => {}
        Some(Listed::NotAList) if !has_value => {
            errors.push(&[BODY, DATA], FieldError::not_a_list());
        }
        // With a `value` beside it, it is a field that means something else.
        Some(Listed::NotAList) | None => readings.extend(rules.reading(&members, &[BODY], errors)),
    }
    Ok(readings)
}

#[cfg(test)]
mod tests;
