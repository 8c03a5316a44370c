//! The body of a reading, or of many: JSON in, valid readings or every fault out.
//!
//! One pass: each item of a batch is checked as the parser comes by it, and nothing else is kept.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    fault::{Faults, Refusal, Step},
    reading_field::{FieldRules, Fields, MaybeObject},
};
use crate::reading::Reading;

/// Most readings in one request. In the topic's format that many are half of what the producer's queue holds.
pub(super) const READINGS_MAX: usize = 500_000;

const BODY: Step = Step::Field("body");
const DATA: Step = Step::Field("data");

/// Reads `{"value": …, "timestamp": …}` or `{"data": [ … ]}`; other fields are ignored.
///
/// Faults go to `faults`, and the readings are only worth something where there is none.
/// The error says why the text is no JSON.
pub(super) fn parse(
    body: &[u8],
    rules: &FieldRules<'_>,
    faults: &mut Faults,
) -> Result<Vec<Reading>, serde_json::Error> {
    // Once for all: what is ignored would not be looked at otherwise.
    let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    if body.trim_ascii_start().first() != Some(&b'{') {
        IgnoredAny::deserialize(&mut deserializer)?;
        deserializer.end()?;
        faults.push(&[BODY], Refusal::not_an_object());
        return Ok(Vec::new());
    }
    let form = deserializer.deserialize_map(BodyVisitor { rules, faults })?;
    deserializer.end()?;
    Ok(form.into_readings(rules, faults))
}

/// What the body's fields were.
#[derive(Default)]
struct Form<'a> {
    single: Fields<'a>,
    batch: Option<Vec<Reading>>,
}

impl Form<'_> {
    fn into_readings(self, rules: &FieldRules<'_>, faults: &mut Faults) -> Vec<Reading> {
        match self.batch {
            Some(_) if self.single.value.is_some_and(|value| value != "null") => {
                // Taking one of them would lose the other without a word.
                let msg = "Input should have either `value` or `data`, not both";
                faults.push(&[BODY], Refusal::new("value_error", msg));
                Vec::new()
            }
            Some(readings) => readings,
            None => rules.reading(&self.single, &[BODY], faults).into_iter().collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Value,
    Timestamp,
    Data,
    #[serde(other)]
    Other,
}

struct BodyVisitor<'r, 'f> {
    rules: &'r FieldRules<'r>,
    faults: &'f mut Faults,
}

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = Form<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    /// Of a field that comes twice the last one counts, as in most parsers.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut form = Form::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Value => form.single.value = Some(map.next_value::<&RawValue>()?.get()),
                Key::Timestamp => form.single.timestamp = Some(map.next_value::<&RawValue>()?.get()),
                Key::Data if form.batch.is_some() => return Err(A::Error::duplicate_field("data")),
                Key::Data => {
                    let batch = BatchVisitor { rules: self.rules, faults: &mut *self.faults };
                    form.batch = map.next_value_seed(batch)?;
                }
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(form)
    }
}

/// The list in `data`; none where it is null, which is the same as absent.
struct BatchVisitor<'r, 'f> {
    rules: &'r FieldRules<'r>,
    faults: &'f mut Faults,
}

impl<'de> DeserializeSeed<'de> for BatchVisitor<'_, '_> {
    type Value = Option<Vec<Reading>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl BatchVisitor<'_, '_> {
    fn refuse(self, refusal: Refusal) -> Vec<Reading> {
        self.faults.push(&[BODY, DATA], refusal);
        Vec::new()
    }

    fn not_a_list(self) -> Vec<Reading> {
        self.refuse(Refusal::new("list_type", "Input should be a valid list"))
    }
}

impl<'de> Visitor<'de> for BatchVisitor<'_, '_> {
    type Value = Option<Vec<Reading>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of readings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut readings = Vec::new();
        let mut index = 0;
        while let Some(item) = seq.next_element::<MaybeObject<'de>>()? {
            // The text is read to its end whatever was found, so that broken JSON is always said first.
            if index < READINGS_MAX && !self.faults.is_full() {
                let loc = [BODY, DATA, Step::Index(index)];
                match item {
                    MaybeObject::Object(fields) => {
                        readings.extend(self.rules.reading(&fields, &loc, self.faults));
                    }
                    MaybeObject::Other => self.faults.push(&loc, Refusal::not_an_object()),
                }
            }
            index += 1;
        }
        let refusal = match index {
            0 => Refusal::new("too_short", "List should have at least 1 item after validation, not 0"),
            1..=READINGS_MAX => return Ok(Some(readings)),
            _ => Refusal::new(
                "too_long",
                format!("List should have at most {READINGS_MAX} items after validation, not {index}"),
            ),
        };
        Ok(Some(self.refuse(refusal)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some(self.not_a_list()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Some(self.not_a_list()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Some(self.not_a_list()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Some(self.not_a_list()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Some(self.not_a_list()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Some(self.not_a_list()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::receipt_clock::ReceiptClock,
        reading::{Timestamp, Window},
    };

    const NOW: Timestamp = Timestamp::from_micros(1_728_743_340_000_000);

    fn parsed(body: &str) -> Result<(Vec<Reading>, serde_json::Value), serde_json::Error> {
        let window = Window { since: Timestamp::from_micros(0), until: NOW.plus_micros(86_400_000_000) };
        let clock = ReceiptClock::default();
        let rules = FieldRules { sensor_id: 3, window, now: NOW, clock: &clock };
        let mut faults = Faults::default();
        let readings = parse(body.as_bytes(), &rules, &mut faults)?;
        Ok((readings, serde_json::to_value(faults.into_vec()).unwrap()))
    }

    fn readings(body: &str) -> Vec<(i64, f64)> {
        let (readings, faults) = parsed(body).unwrap();
        assert_eq!(faults, serde_json::json!([]), "{body}");
        readings.iter().map(|r| (r.time.micros() - NOW.micros(), r.value)).collect()
    }

    /// Each fault's `loc` and `type`.
    fn faults(body: &str) -> Vec<(String, String)> {
        let (_, faults) = parsed(body).unwrap();
        let text = |value: &serde_json::Value| value.to_string().replace('"', "");
        faults.as_array().unwrap().iter().map(|fault| (text(&fault["loc"]), text(&fault["type"]))).collect()
    }

    #[test]
    fn one_or_many() {
        assert_eq!(readings(r#"{"value":23.5,"timestamp":"2024-10-12T14:29:00"}"#), [(0, 23.5)]);
        assert_eq!(readings(r#" {"extra":[{}],"value":"23.5"} "#), [(0, 23.5)]);
        assert_eq!(readings(r#"{"value":1,"timestamp":null,"data":null}"#), [(0, 1.0)]);
        assert_eq!(readings(r#"{"value":1,"value":2}"#), [(0, 2.0)]);
        assert_eq!(readings(r#"{"value":null,"data":[{"value":1}]}"#), [(0, 1.0)]);
        assert_eq!(
            readings(
                r#"{"data":[{"value":1,"timestamp":1728743341},{"value":"2","timestamp":"1728743342"}]}"#
            ),
            [(1_000_000, 1.0), (2_000_000, 2.0)]
        );
        assert_eq!(
            readings(r#"{"timestamp":"ignored","data":[{"value":1},{"value":2}]}"#),
            [(0, 1.0), (1, 2.0)]
        );
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(
            faults(r#"{"data":[{"value":"x"},3,{"value":1},{"value":true,"timestamp":"never"},{}]}"#),
            [
                ("[body,data,0,value]", "float_parsing"),
                ("[body,data,1]", "model_attributes_type"),
                ("[body,data,3,value]", "float_type"),
                ("[body,data,3,timestamp]", "datetime_parsing"),
                ("[body,data,4,value]", "missing"),
            ]
            .map(|(loc, kind)| (loc.to_owned(), kind.to_owned()))
        );
        for (body, loc, kind) in [
            ("{}", "[body,value]", "missing"),
            (r#"{"value":null}"#, "[body,value]", "float_type"),
            (r#"{"value":"NaN"}"#, "[body,value]", "finite_number"),
            (r#"{"value":1e999}"#, "[body,value]", "finite_number"),
            (r#"{"value":1,"timestamp":"9999-01-01"}"#, "[body,timestamp]", "time_out_of_window"),
            (r#"{"value":1,"timestamp":-1}"#, "[body,timestamp]", "time_out_of_window"),
            (r#"{"value":1,"timestamp":true}"#, "[body,timestamp]", "datetime_type"),
            (r#"{"data":[]}"#, "[body,data]", "too_short"),
            (r#"{"data":{"a":[1]}}"#, "[body,data]", "list_type"),
            (r#"{"data":"x"}"#, "[body,data]", "list_type"),
            (r#"{"data":true}"#, "[body,data]", "list_type"),
            (r#"{"data":-1.5}"#, "[body,data]", "list_type"),
            (r#"{"data":[{"value":1}],"value":1}"#, "[body]", "value_error"),
            ("[]", "[body]", "model_attributes_type"),
            ("null", "[body]", "model_attributes_type"),
            (" 3", "[body]", "model_attributes_type"),
        ] {
            assert_eq!(faults(body), [(loc.to_owned(), kind.to_owned())], "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_from_what_is_invalid() {
        for body in
            ["", "{", "{\"value\":1", "{\"value\":1} x", "nope", "{\"data\":[{\"value\":\"x\"}", "[1,]"]
        {
            assert!(parsed(body).is_err(), "{body}");
        }
        assert!(parsed(r#"{"data":[],"data":[{"value":1}]}"#).is_err());
    }

    #[test]
    fn the_number_of_readings_is_bounded() {
        let body = format!(r#"{{"data":[{}{{"value":1}}]}}"#, r#"{"value":1},"#.repeat(READINGS_MAX));
        assert_eq!(faults(&body), [("[body,data]".to_owned(), "too_long".to_owned())]);
    }
}
