//! The body of a reading, or of many: JSON in, valid readings or every error out.
//!
//! One pass: each item of a batch is checked as the parser comes by it, and nothing else is kept.

use crate::{
    http::{
        ingest::reading_field::{FieldRules, Fields, Key, MaybeObject},
        server::{FieldError, Step, ValidationErrors},
    },
    reading::{
        Reading, Reason, Timestamp, Window,
        decode::{Decoded, NOT_A_JSON_NUMBER, Place, Reject, decode_for_sensor},
    },
};
use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
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
    rules: &FieldRules<'_>,
    errors: &mut ValidationErrors,
) -> Result<Vec<Reading>, String> {
    read(body, rules, errors).or_else(|error| {
        let error = error.to_string();
        match first_that_is_no_json(body) {
            Some((place, reject)) if reject.detail == NOT_A_JSON_NUMBER => {
                let value = Step::Field("value");
                let error = FieldError::not_finite();
                match place {
                    Place::Whole => errors.push(&[BODY, value], error),
                    Place::Item(index) => {
                        errors.push(&[BODY, DATA, Step::Index(index as usize), value], error);
                    }
                }
                Ok(Vec::new())
            }
            Some((Place::Item(index), _)) => Err(format!("{error}, in item {index} of `data`")),
            Some((Place::Whole, _)) | None => Err(error),
        }
    })
}

/// The first reading of a body that is no JSON, as records are read: with its place, which the parser does not say.
fn first_that_is_no_json(body: &[u8]) -> Option<(Place, Reject)> {
    let everything =
        Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
    let is_no_json = |reject: &Reject| {
        matches!(reject.reason, Reason::MalformedJson | Reason::NulByte) || reject.detail == NOT_A_JSON_NUMBER
    };
    let mut first = None;
    let mut untimed = |_, _| Ok(Timestamp::from_micros(0));
    decode_for_sensor(0, body, &mut untimed, &everything, &mut |decoded| {
        if let Decoded::Reading(place, Err(reject)) = decoded
            && first.is_none()
            && is_no_json(&reject)
        {
            first = Some((place, reject));
        }
    });
    first
}

fn read(
    body: &[u8],
    rules: &FieldRules<'_>,
    errors: &mut ValidationErrors,
) -> Result<Vec<Reading>, serde_json::Error> {
    // Once for all: what is ignored would not be looked at otherwise.
    let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    if body.trim_ascii_start().first() != Some(&b'{') {
        IgnoredAny::deserialize(&mut deserializer)?;
        deserializer.end()?;
        errors.push(&[BODY], FieldError::not_an_object());
        return Ok(Vec::new());
    }
    let form = deserializer.deserialize_map(BodyVisitor { rules, errors })?;
    deserializer.end()?;
    Ok(form.into_readings(rules, errors))
}

/// What the body's fields were.
#[derive(Default)]
struct Form<'a> {
    single: Fields<'a>,
    batch: Option<Batch>,
}

/// What is in `data`.
enum Batch {
    Readings(Vec<Reading>),
    /// With a `value` beside it, it is a field that means something else.
    NotAList,
}

impl Form<'_> {
    fn into_readings(self, rules: &FieldRules<'_>, errors: &mut ValidationErrors) -> Vec<Reading> {
        let has_value = self.single.value.is_some_and(|value| value != "null");
        match self.batch {
            Some(Batch::Readings(_)) if has_value => {
                // Taking one of them would lose the other without a word.
                let msg = "Input should have either `value` or `data`, not both";
                errors.push(&[BODY], FieldError::new("value_error", msg));
                Vec::new()
            }
            Some(Batch::Readings(readings)) => readings,
            Some(Batch::NotAList) if !has_value => {
                errors.push(&[BODY, DATA], FieldError::new("list_type", "Input should be a valid list"));
                Vec::new()
            }
            Some(Batch::NotAList) | None => {
                rules.reading(&self.single, &[BODY], errors).into_iter().collect()
            }
        }
    }
}

struct BodyVisitor<'r, 'f> {
    rules: &'r FieldRules<'r>,
    errors: &'f mut ValidationErrors,
}

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = Form<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut form = Form::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Data if form.batch.is_some() => return Err(A::Error::duplicate_field("data")),
                Key::Data => {
                    let batch = BatchVisitor { rules: self.rules, errors: &mut *self.errors };
                    form.batch = map.next_value_seed(batch)?;
                }
                key => form.single.read(key, &mut map)?,
            }
        }
        Ok(form)
    }
}

/// The list in `data`; none where it is null, which is the same as absent.
struct BatchVisitor<'r, 'f> {
    rules: &'r FieldRules<'r>,
    errors: &'f mut ValidationErrors,
}

impl<'de> DeserializeSeed<'de> for BatchVisitor<'_, '_> {
    type Value = Option<Batch>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BatchVisitor<'_, '_> {
    type Value = Option<Batch>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of readings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut readings = Vec::new();
        let mut index = 0;
        while let Some(item) = seq.next_element::<MaybeObject<'de>>()? {
            // The text is read to its end whatever was found, so that broken JSON is always said first.
            if index < READINGS_MAX && !self.errors.is_full() {
                let loc = [BODY, DATA, Step::Index(index)];
                match item {
                    MaybeObject::Object(fields) => {
                        readings.extend(self.rules.reading(&fields, &loc, self.errors));
                    }
                    MaybeObject::Other => self.errors.push(&loc, FieldError::not_an_object()),
                }
            }
            index += 1;
        }
        if index > READINGS_MAX {
            let msg = format!("List should have at most {READINGS_MAX} items after validation, not {index}");
            self.errors.push(&[BODY, DATA], FieldError::new("too_long", msg));
        }
        Ok(Some(Batch::Readings(readings)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some(Batch::NotAList))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Some(Batch::NotAList))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Some(Batch::NotAList))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Some(Batch::NotAList))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Some(Batch::NotAList))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Some(Batch::NotAList))
    }
}

#[cfg(test)]
mod tests;
