//! Why a body is no JSON, in `serde_json`'s words, as for the other routes' bodies.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// None where it is JSON, and has no more than one `data`.
pub(super) fn syntax_error(body: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return Some(error.to_string()),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Part::Body.deserialize(&mut json).and_then(|()| json.end());
    read.err().map(|error| error.to_string())
}

/// A part of a body that is read member by member, or item by item; what else there is in it is passed over.
#[derive(Clone, Copy)]
enum Part {
    Body,
    List,
    Item,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_list = false;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match self {
                Self::Body if name == "data" => {
                    if std::mem::replace(&mut has_list, true) {
                        return Err(A::Error::duplicate_field("data"));
                    }
                    map.next_value_seed(Self::List)?;
                }
                Self::Body | Self::List | Self::Item => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        match self {
            Self::List => while seq.next_element_seed(Self::Item)?.is_some() {},
            Self::Body | Self::Item => while seq.next_element::<IgnoredAny>()?.is_some() {},
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
