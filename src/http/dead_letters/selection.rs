//! Which dead letters a request means: by ids, or by a filter.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::id_of;
use crate::{
    buckets::Zone,
    http::server::{FieldError, Step, ValidationErrors, parameters::time_range},
    reading::Reason,
    store::dead_letters::{Filter, IDS_MAX, PORTION_MAX, Portion, Selection},
};

const BODY: Step = Step::Field("body");
/// What Kafka takes as the name of a topic.
const TOPIC_MAX_CHARS: usize = 249;

/// Which dead letters are meant: `ids`, or a `filter`; an empty one means all. Unknown fields are refused, since a filter
/// that is misspelt would mean more than was meant.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"filter": {"reason": "unknown_sensor"}}))]
pub(super) struct LettersBody {
    /// Those with these ids.
    #[schema(min_items = 1, max_items = 1000, required = false, value_type = Vec<i64>)]
    ids: Option<Vec<i64>>,
    /// Those that meet every condition.
    #[schema(required = false, value_type = Filter)]
    filter: Option<Filter>,
    /// Most dead letters of one transaction; 1000 where absent.
    #[schema(minimum = 1, maximum = 1000, required = false, value_type = u32)]
    limit: Option<u32>,
    /// `next` of the answer before this one.
    #[schema(pattern = "^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$", required = false, value_type = String)]
    after: Option<i64>,
}

impl LettersBody {
    /// Its fields, all of which it knows.
    const NAMES: [&str; 4] = ["ids", "filter", "limit", "after"];

    /// Reads a body field by field, so that every error has its place; some where it is an object.
    fn read(body: &Value, errors: &mut ValidationErrors) -> Option<Self> {
        let body = errors.check(&[BODY], body.as_object().ok_or_else(FieldError::not_an_object))?;
        only(body, &Self::NAMES, &[BODY], errors);
        let (listed, conditions) = match (body.get("ids"), body.get("filter")) {
            (None, None) => {
                errors.push(&[BODY], FieldError::new("missing", "Field required: 'ids' or 'filter'"));
                (None, None)
            }
            (Some(_), Some(_)) => {
                let error = FieldError::new("extra_forbidden", "Either 'ids' or 'filter' is permitted");
                errors.push(&[BODY], error);
                (None, None)
            }
            one => one,
        };
        let ids = listed.and_then(|listed| ids(listed, errors));
        let filter = conditions.and_then(|conditions| read_filter(conditions, errors));
        let limit = errors.check(&[BODY, Step::Field("limit")], body.get("limit").map(limit).transpose());
        let after = body.get("after").map(|after| id_of(after.as_str().unwrap_or_default())).transpose();
        let after = errors.check(&[BODY, Step::Field("after")], after);
        Some(Self { ids, filter, limit: limit.flatten(), after: after.flatten() })
    }

    /// What it means; none where it has neither ids nor a filter, which is an error of its own.
    fn portion(self) -> Option<Portion> {
        let Self { ids, filter, limit, after } = self;
        let selection = ids.map(Selection::Ids).or(filter.map(Selection::Matching))?;
        Some(Portion { selection, after, limit: limit.unwrap_or(PORTION_MAX) })
    }
}

/// What a body means, or everything that is wrong with it.
pub(super) fn portion(body: &Value) -> Result<Portion, ValidationErrors> {
    let mut errors = ValidationErrors::default();
    let portion = LettersBody::read(body, &mut errors).and_then(LettersBody::portion);
    portion.filter(|_| errors.is_empty()).ok_or(errors)
}

/// Notes that there are fields besides these.
fn only(object: &Map<String, Value>, known: &[&str], place: &[Step], errors: &mut ValidationErrors) {
    if object.keys().any(|name| !known.contains(&name.as_str())) {
        let known: Vec<String> = known.iter().map(|name| format!("'{name}'")).collect();
        let msg = format!("Extra inputs are not permitted; there are {}", known.join(", "));
        errors.push(place, FieldError::new("extra_forbidden", msg));
    }
}

fn limit(limit: &Value) -> Result<u32, FieldError> {
    let limit = limit.as_u64().filter(|limit| (1..=u64::from(PORTION_MAX)).contains(limit));
    limit.map(|limit| limit as u32).ok_or_else(|| FieldError::not_an_integer(1, PORTION_MAX))
}

fn ids(listed: &Value, errors: &mut ValidationErrors) -> Option<Vec<i64>> {
    let place = [BODY, Step::Field("ids")];
    let list = errors.check(&place, listed.as_array().ok_or_else(FieldError::not_a_list))?;
    if list.is_empty() {
        errors.push(&place, FieldError::new("too_short", "List should have at least 1 item"));
    } else if list.len() > IDS_MAX {
        let msg = format!("List should have at most {IDS_MAX} items");
        errors.push(&place, FieldError::new("too_long", msg));
        return None;
    }
    let mut ids = Vec::with_capacity(list.len());
    for (index, id) in list.iter().enumerate() {
        let id = id.as_i64().filter(|&id| id > 0).ok_or_else(|| FieldError::not_an_integer(1, i64::MAX));
        ids.extend(errors.check(&[place[0], place[1], Step::Index(index)], id));
    }
    Some(ids)
}

/// The fields of a filter.
const FILTER_NAMES: [&str; 6] = ["topic", "partition", "reason", "sensor_id", "since", "until"];

fn read_filter(conditions: &Value, errors: &mut ValidationErrors) -> Option<Filter> {
    let place = [BODY, Step::Field("filter")];
    let conditions = errors.check(&place, conditions.as_object().ok_or_else(FieldError::not_an_object))?;
    only(conditions, &FILTER_NAMES, &place, errors);
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(FieldError::not_a_string);
    let mut condition = Conditions { given: conditions, place, errors };
    Some(Filter {
        topic: condition.take("topic", |value| topic(&text(value)?)),
        partition: condition.take("partition", |value| partition(value.as_i64())),
        reason: condition.take("reason", |value| reason(&text(value)?)),
        sensor_id: condition.take("sensor_id", |value| sensor_id(value.as_i64())),
        since: condition.take("since", |value| time(&text(value)?)),
        until: condition.take("until", |value| time(&text(value)?)),
    })
}

/// The members of a filter, taken one by one.
struct Conditions<'b> {
    given: &'b Map<String, Value>,
    place: [Step; 2],
    errors: &'b mut ValidationErrors,
}

impl Conditions<'_> {
    fn take<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, FieldError>,
    ) -> Option<T> {
        let outcome = self.given.get(name).map(parse).transpose();
        self.errors.check(&[self.place[0], self.place[1], Step::Field(name)], outcome).flatten()
    }
}

pub(super) fn topic(text: &str) -> Result<String, FieldError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=TOPIC_MAX_CHARS).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        let msg = "String should match pattern '^[A-Za-z0-9._-]{1,249}$'";
        Err(FieldError::new("string_pattern_mismatch", msg))
    }
}

pub(super) fn partition(number: Option<i64>) -> Result<i32, FieldError> {
    let number = number.and_then(|number| i32::try_from(number).ok()).filter(|&number| number >= 0);
    number.ok_or_else(|| FieldError::not_an_integer(0, i32::MAX))
}

pub(super) fn sensor_id(number: Option<i64>) -> Result<i32, FieldError> {
    let number = number.and_then(|number| i32::try_from(number).ok());
    number.ok_or_else(|| FieldError::not_an_integer(i32::MIN, i32::MAX))
}

pub(super) fn reason(text: &str) -> Result<Reason, FieldError> {
    text.parse().map_err(|_| {
        let names: Vec<String> = Reason::ALL.iter().map(|reason| format!("'{}'", reason.as_str())).collect();
        FieldError::new("enum", format!("Input should be {}", names.join(" or ")))
    })
}

pub(super) fn time(text: &str) -> Result<DateTime<Utc>, FieldError> {
    let time = time_range::time(text, &Zone::UTC)?.to_datetime();
    time.ok_or_else(|| FieldError::new("datetime_out_of_range", "Input should be in the years 1 to 9999"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    fn errors(body: &Value) -> Vec<(Value, &'static str)> {
        let errors = portion(body).unwrap_err().into_vec();
        errors.into_iter().map(|error| (json!(error.loc), error.kind)).collect()
    }

    #[test]
    fn letters_are_meant_by_ids_or_by_a_filter() {
        let by_ids = portion(&json!({"ids": [3, 1], "limit": 10, "after": "AAAAAAAABBI"})).unwrap();
        assert_eq!(by_ids, Portion { selection: Selection::Ids(vec![3, 1]), after: Some(1_042), limit: 10 });
        let all = portion(&json!({"filter": {}})).unwrap();
        let expected =
            Portion { selection: Selection::Matching(Filter::default()), after: None, limit: PORTION_MAX };
        assert_eq!(all, expected);
        let filter = json!({"topic": "t", "partition": 0, "reason": "too_large", "sensor_id": -7, "since": "1970-01-01"});
        let filtered = portion(&json!({ "filter": filter })).unwrap();
        let expected = Filter {
            topic: Some("t".to_owned()),
            partition: Some(0),
            reason: Some(Reason::TooLarge),
            sensor_id: Some(-7),
            since: DateTime::from_timestamp(0, 0),
            until: None,
        };
        assert_eq!(filtered.selection, Selection::Matching(expected));
    }

    #[test]
    fn every_fault_is_named() {
        for (body, expected) in [
            (json!([]), vec![(json!(["body"]), "model_attributes_type")]),
            (json!({}), vec![(json!(["body"]), "missing")]),
            (json!({"ids": [1], "filter": {}}), vec![(json!(["body"]), "extra_forbidden")]),
            (json!({"ids": [1], "reason": "x"}), vec![(json!(["body"]), "extra_forbidden")]),
            (json!({"ids": []}), vec![(json!(["body", "ids"]), "too_short")]),
            (json!({"ids": vec![1; 1_001]}), vec![(json!(["body", "ids"]), "too_long")]),
            (
                json!({"ids": [1, 0, "2", 1.5], "limit": 0, "after": 3}),
                vec![
                    (json!(["body", "ids", 1]), "int_parsing"),
                    (json!(["body", "ids", 2]), "int_parsing"),
                    (json!(["body", "ids", 3]), "int_parsing"),
                    (json!(["body", "limit"]), "int_parsing"),
                    (json!(["body", "after"]), "cursor"),
                ],
            ),
            (
                json!({"filter": {"topic": "a/b", "partition": -1, "reason": 3, "sensor_id": 1e10, "until": "soon", "resaon": 1}}),
                vec![
                    (json!(["body", "filter"]), "extra_forbidden"),
                    (json!(["body", "filter", "topic"]), "string_pattern_mismatch"),
                    (json!(["body", "filter", "partition"]), "int_parsing"),
                    (json!(["body", "filter", "reason"]), "string_type"),
                    (json!(["body", "filter", "sensor_id"]), "int_parsing"),
                    (json!(["body", "filter", "until"]), "datetime_parsing"),
                ],
            ),
        ] {
            assert_eq!(errors(&body), expected, "{body}");
        }
    }

    #[test]
    fn the_document_has_every_field() {
        fn names<T: PartialSchema>() -> Vec<String> {
            let schema = serde_json::to_value(T::schema()).unwrap();
            schema["properties"].as_object().unwrap().keys().cloned().collect()
        }
        let sorted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(names::<LettersBody>().into_iter().collect::<BTreeSet<_>>(), sorted(&LettersBody::NAMES));
        assert_eq!(names::<Filter>().into_iter().collect::<BTreeSet<_>>(), sorted(&FILTER_NAMES));
    }
}
