//! JSON as a tree that keeps what `serde_json::Value` loses: the digits of numbers, and keys that come twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Its digits.
    Number(String),
    /// With its escapes resolved.
    Text(String),
    /// Items.
    List(Vec<Json>),
    /// Members in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The names of an object's members, each as often as it is there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let members: &[_] = if let Self::Object(members) = self { members } else { &[] };
        members.iter().map(|(name, _)| name.as_str())
    }

    /// The values of this key; none in what is no object.
    pub fn all<'j>(&'j self, key: &'j str) -> impl Iterator<Item = &'j Self> {
        let members: &[_] = if let Self::Object(members) = self { members } else { &[] };
        members.iter().filter(move |(name, _)| name == key).map(|(_, value)| value)
    }
}

/// Nesting that `serde_json` takes.
const DEPTH_MAX: i32 = 127;

/// What `serde_json` makes of a text; none where it refuses it. A number past a double's range, which
/// `serde_json::Value` refuses, is JSON all the same.
pub fn parse(text: &str) -> Option<Json> {
    let parsed = parse_nested(text, 0);
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => assert!(parsed.is_some(), "the reference refuses what is JSON"),
        Err(error) => {
            assert!(
                parsed.is_none() || error.to_string().contains("out of range"),
                "the reference takes: {error}"
            );
        }
    }
    parsed
}

/// The same where `outside` containers around the text count as well, or, below 0, so many of its own do not.
pub fn parse_nested(text: &str, outside: i32) -> Option<Json> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    tree(raw.get(), outside)
}

fn tree(raw: &str, depth: i32) -> Option<Json> {
    let is_container = raw.starts_with(['{', '[']);
    if is_container && depth == DEPTH_MAX {
        return None;
    }
    Some(match raw.as_bytes().first()? {
        b'{' => {
            let Members(members) = serde_json::from_str(raw).ok()?;
            let members = members.into_iter();
            let members = members.map(|(key, value)| Some((key, tree(value.get(), depth + 1)?)));
            Json::Object(members.collect::<Option<_>>()?)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            Json::List(items.into_iter().map(|item| tree(item.get(), depth + 1)).collect::<Option<_>>()?)
        }
        b'"' => Json::Text(serde_json::from_str(raw).ok()?),
        b'n' => Json::Null,
        b't' => Json::Bool(true),
        b'f' => Json::Bool(false),
        _ => Json::Number(raw.to_owned()),
    })
}

/// An object's members in their order, each as often as it is there.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
