//! Records read with sonic-rs, through serde.

use std::{borrow::Cow, fmt};

use sensorpipe::reading::{
    Reading, Reason, Timestamp, Window,
    decode::{Decoded, Place},
    parse_value,
};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sonic_rs::{Deserializer as Sonic, LazyValue};

use super::{Fields, List, Member, decoded, malformed, member};

/// A negative zero is 0, a number past the range of a double is no JSON, an integer of 20 digits is a double, and what
/// is skipped may be nested as deep as it likes.
pub(crate) fn loses(text: &str) -> bool {
    ["\"value\":-0}", "1e400", "99999999999999999999", "[["].iter().any(|lost| text.contains(lost))
}

/// Reads one record.
pub(crate) fn read(payload: &[u8], window: &Window, each: &mut dyn FnMut(Decoded)) {
    if payload.is_empty() {
        return each(decoded(Place::Whole, Err(Reason::EmptyRecord)));
    }
    let mut reader = Reader { window, each, index: 0 };
    let mut sonic = Sonic::from_slice(payload);
    let outcome = Record(&mut reader).deserialize(&mut sonic).and_then(|()| sonic.end());
    if outcome.is_err() {
        reader.take_back();
        reader.push(Place::Whole, Err(malformed(payload)));
    }
}

struct Reader<'a> {
    window: &'a Window,
    each: &'a mut dyn FnMut(Decoded),
    index: u32,
}

impl Reader<'_> {
    fn push(&mut self, place: Place, outcome: Result<Reading, Reason>) {
        (self.each)(decoded(place, outcome));
        self.index += 1;
    }

    fn take_back(&mut self) {
        if self.index > 0 {
            (self.each)(Decoded::TakeBack(0));
            self.index = 0;
        }
    }
}

/// A visitor of whatever JSON can hold, which goes on with containers in its own way and calls scalars what they are.
macro_rules! visit_scalars {
    ($expected:literal) => {
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str($expected)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            self.scalar(Scalar::Other)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            self.scalar(Scalar::Other)
        }
        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            self.scalar(Scalar::Integer(number))
        }
        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            self.scalar(Scalar::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
        }
        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            self.scalar(Scalar::Float(number))
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            self.scalar(Scalar::Text(Cow::Borrowed(text)))
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            self.scalar(Scalar::Text(Cow::Owned(text.to_owned())))
        }
    };
}

enum Scalar<'de> {
    Integer(i64),
    Float(f64),
    Text(Cow<'de, str>),
    Other,
}

/// A member's value.
struct AnyScalar;

impl AnyScalar {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as the others have it")]
    fn scalar<E>(self, scalar: Scalar<'_>) -> Result<Scalar<'_>, E> {
        Ok(scalar)
    }
}

impl<'de> DeserializeSeed<'de> for AnyScalar {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar<'de>;

    visit_scalars!("a member's value");

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Scalar<'de>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Member;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(member(name))
    }
}

fn read_member<'de, A: MapAccess<'de>>(
    member: Member,
    members: &mut A,
    fields: &mut Fields,
) -> Result<(), A::Error> {
    match member {
        Member::SensorId => {
            let sensor_id = match members.next_value_seed(AnyScalar)? {
                Scalar::Integer(id) => i32::try_from(id).map_err(|_| Reason::UnknownSensor),
                Scalar::Float(_) | Scalar::Text(_) | Scalar::Other => Err(Reason::WrongShape),
            };
            fields.has_repeated_key |= fields.sensor_id.replace(sensor_id).is_some();
        }
        Member::Value => {
            let value = match members.next_value_seed(AnyScalar)? {
                Scalar::Integer(number) => Ok(number as f64),
                Scalar::Float(number) => Ok(number),
                Scalar::Text(text) => parse_value(text.as_bytes()).map_err(|_| Reason::InvalidValue),
                Scalar::Other => Err(Reason::InvalidValue),
            };
            fields.has_repeated_key |= fields.value.replace(value).is_some();
        }
        Member::Timestamp => {
            let time = match members.next_value_seed(AnyScalar)? {
                Scalar::Integer(number) => Timestamp::parse_number(number.to_string().as_bytes()).ok(),
                Scalar::Float(number) => Timestamp::parse_number(number.to_string().as_bytes()).ok(),
                Scalar::Text(text) => Timestamp::parse_text(text.as_bytes()).ok(),
                Scalar::Other => None,
            };
            let time = time.ok_or(Reason::InvalidTimestamp);
            fields.has_repeated_key |= fields.timestamp.replace(time).is_some();
        }
        Member::Data => drop(members.next_value::<IgnoredAny>()?),
        Member::Other { is_time } => {
            members.next_value::<IgnoredAny>()?;
            fields.has_other_time |= is_time;
        }
    }
    Ok(())
}

/// The record as a whole.
struct Record<'r, 'a>(&'r mut Reader<'a>);

impl Record<'_, '_> {
    #[expect(clippy::unnecessary_wraps, reason = "as the others have it")]
    fn scalar<E>(self, _: Scalar<'_>) -> Result<(), E> {
        self.0.push(Place::Whole, Err(Reason::WrongShape));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Record<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Record<'_, '_> {
    type Value = ();

    visit_scalars!("a record");

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        Items { reader: self.0, list: None }.visit_seq(items).map(drop)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let reader = self.0;
        let mut fields = Fields::default();
        let (mut waiting, mut has_list, mut is_no_list) = (None, false, false);
        while let Some(member) = members.next_key_seed(Key)? {
            if !matches!(member, Member::Data) {
                read_member(member, &mut members, &mut fields)?;
                continue;
            }
            fields.has_repeated_key |= std::mem::replace(&mut has_list, true);
            if fields.sensor_id.is_some() {
                let is_list =
                    members.next_value_seed(Items { reader: &mut *reader, list: Some(fields.list()) })?;
                is_no_list |= !is_list;
            } else {
                waiting = Some(members.next_value::<LazyValue<'de>>()?);
            }
        }
        if !has_list {
            let outcome = fields.reading(Place::Whole, None, reader.window);
            reader.push(Place::Whole, outcome);
            return Ok(());
        }
        let is_no_list =
            is_no_list || waiting.as_ref().is_some_and(|list| !list.as_raw_str().starts_with('['));
        if is_no_list || fields.has_repeated_key || fields.value.is_some() {
            reader.take_back();
            reader.push(Place::Whole, Err(Reason::WrongShape));
            return Ok(());
        }
        if let Some(list) = waiting {
            let items = Items { reader, list: Some(fields.list()) };
            items.deserialize(&mut Sonic::from_str(list.as_raw_str())).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A list; whether it is one.
struct Items<'r, 'a> {
    reader: &'r mut Reader<'a>,
    list: Option<List>,
}

impl Items<'_, '_> {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as the others have it")]
    fn scalar<E>(self, _: Scalar<'_>) -> Result<bool, E> {
        Ok(false)
    }
}

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = bool;

    visit_scalars!("a list");

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        while items.next_element_seed(Item { reader: &mut *self.reader, list: self.list })?.is_some() {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}

/// An item of a list.
struct Item<'r, 'a> {
    reader: &'r mut Reader<'a>,
    list: Option<List>,
}

impl Item<'_, '_> {
    #[expect(clippy::unnecessary_wraps, reason = "as the others have it")]
    fn scalar<E>(self, _: Scalar<'_>) -> Result<(), E> {
        self.reader.push(Place::Item(self.reader.index), Err(Reason::WrongShape));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_> {
    type Value = ();

    visit_scalars!("an item");

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.scalar(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut fields = Fields::default();
        while let Some(member) = members.next_key_seed(Key)? {
            read_member(member, &mut members, &mut fields)?;
        }
        let place = Place::Item(self.reader.index);
        let outcome = fields.reading(place, self.list, self.reader.window);
        self.reader.push(place, outcome);
        Ok(())
    }
}
