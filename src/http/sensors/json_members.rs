//! Members of JSON objects and items of arrays as text, for bodies of which only a part is looked at.
//!
//! A tree of values takes up to 32 times what its text does, so that a small compressed body would cost a hundred MiB.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The last member of each name; none where the value is no object.
pub(in crate::http) fn members<'a, const N: usize>(
    value: &'a RawValue,
    names: [&'static str; N],
) -> Option<[Option<&'a RawValue>; N]> {
    let mut text = serde_json::Deserializer::from_str(value.get());
    text.deserialize_map(Members(names)).ok()
}

/// The first items, and how many there are in all; none where the value is no array.
pub(in crate::http) fn items(value: &RawValue, max: usize) -> Option<(Vec<&RawValue>, usize)> {
    let mut text = serde_json::Deserializer::from_str(value.get());
    text.deserialize_seq(Items { max }).ok()
}

struct Members<const N: usize>([&'static str; N]);

impl<'a, const N: usize> Visitor<'a> for Members<N> {
    type Value = [Option<&'a RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(name) = map.next_key::<Cow<'a, str>>()? {
            match self.0.iter().position(|known| *known == name) {
                Some(place) => found[place] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

struct Items {
    max: usize,
}

impl<'a> Visitor<'a> for Items {
    type Value = (Vec<&'a RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.max {
            let Some(item) = list.next_element()? else { break };
            items.push(item);
        }
        let mut count = items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((items, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn members_are_found_by_name_and_the_last_counts() {
        let value = raw(r#" {"a": 1, "x": [0, {"b": 2}], "b": null, "\u0061": "z"} "#);
        let found = members(value, ["a", "b", "c"]).unwrap();
        assert_eq!(found.map(|found| found.map(RawValue::get)), [Some(r#""z""#), Some("null"), None]);
        for other in ["[]", "1", "null", r#""a""#] {
            assert!(members(raw(other), ["a"]).is_none(), "{other}");
        }
    }

    #[test]
    fn items_past_the_bound_are_counted_only() {
        let (found, count) = items(raw("[1, [2, 3], {}, 4]"), 2).unwrap();
        assert_eq!(
            (found.into_iter().map(RawValue::get).collect::<Vec<_>>(), count),
            (vec!["1", "[2, 3]"], 4)
        );
        assert_eq!(items(raw("[]"), 2).unwrap().1, 0);
        for other in ["{}", "1", "null"] {
            assert!(items(raw(other), 2).is_none(), "{other}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!(r#"{{"x": {}{}, "a": 1}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(members(raw(&deep), ["a"]).unwrap()[0].map(RawValue::get), Some("1"));
    }
}
