//! The members of a reading's object, and what makes a reading of them.

use std::borrow::Cow;

use super::{Decoder, Place, Reject, is_time_name, repeated_key};
use crate::reading::{
    InvalidTimestamp, InvalidValue, Reading, Reason, Timestamp, Window,
    json::{Malformed, Mark, Scanner, Text, Token},
    parse_value,
};

/// What is said of a bare `NaN` or `Infinity` in place of a value: no JSON, and what many programs write all the same.
const NOT_A_JSON_NUMBER: &str = "`value` is NaN or an infinity, for which JSON has no number";

/// Bytes of a member's name that a detail quotes, at most.
const NAME_QUOTED_MAX_BYTES: usize = 40;

/// The members of an object as far as they have been read: of each name the last.
#[derive(Default)]
pub(crate) struct Members<'a> {
    pub(crate) sensor_id: Option<Token<'a>>,
    /// Where its text stands; only of a record's object.
    sensor_text: (usize, usize),
    pub(crate) value: Option<Token<'a>>,
    pub(crate) timestamp: Option<Token<'a>>,
    /// What means a time in place of `timestamp`; of a record's object `timestamp` itself, too, for it may have a list.
    pub(super) time: Option<TimeMember<'a>>,
    pub(super) data: Option<Data>,
    pub(super) has_repeated_key: bool,
    /// Whether a bare `NaN` or `Infinity` stands in it, so that it is no JSON.
    pub(super) has_not_finite: bool,
}

/// A member that means a time.
#[derive(Clone, Copy)]
pub(super) struct TimeMember<'a> {
    pub(super) name: Text<'a>,
    /// Where its value stands.
    value: (usize, usize),
}

/// The list under `data`.
#[derive(Clone, Copy)]
pub(super) enum Data {
    /// Its readings have been handed out: this is where its bracket ends.
    Decoded(Mark),
    /// It came before the sensor's id: this is where its bracket ends.
    Waiting(Mark),
    /// It is not a list.
    NotAList,
}

/// What the object around a list says of its readings.
pub(super) struct List<'a> {
    sensor_id: Result<i32, Reject>,
    /// The id as it stands there, whatever it is.
    pub(super) sensor_text: Option<&'a [u8]>,
    /// A time, which is that of no reading.
    pub(super) time: Option<(Text<'a>, &'a [u8])>,
}

/// Why members are not read on.
pub(super) enum Stop {
    Malformed(Malformed),
    /// A list has no end, and the reject for the rest of the text is out.
    Rest,
}

impl From<Malformed> for Stop {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl<'a> Members<'a> {
    pub(super) fn has_list(&self) -> bool {
        matches!(self.data, Some(Data::Decoded(_) | Data::Waiting(_)))
    }

    /// The first name of a member that means a time, in front of any `timestamp`.
    pub(crate) fn time_name(&self) -> Option<Cow<'a, [u8]>> {
        self.time.map(|time| time.name.resolved())
    }

    /// Reads the next value to its end; whether it is an object, whose members these are then.
    pub(super) fn read_value(&mut self, scanner: &mut Scanner<'a>) -> Result<bool, Malformed> {
        if scanner.peek() != Some(b'{') {
            scanner.value()?;
            return Ok(false);
        }
        scanner.token()?;
        let mut is_first = true;
        while let Some(name) = scanner.next_key(&mut is_first)? {
            self.read(scanner, name, Member::of(name), false)?;
        }
        Ok(true)
    }

    /// Reads a member to its end. Of `data` nothing is kept: it means something to a record's object only.
    pub(super) fn read(
        &mut self,
        scanner: &mut Scanner<'a>,
        name: Text<'a>,
        member: Member,
        is_of_record: bool,
    ) -> Result<(), Malformed> {
        let begin = scanner.position();
        let token = match scanner.value() {
            Err(error) if member == Member::Value => scanner.not_finite(begin).ok_or(error)?,
            token => token?,
        };
        self.has_not_finite |= token == Token::NotFinite;
        let place = (begin, scanner.position());
        let repeated = match member {
            Member::SensorId => {
                self.sensor_text = place;
                self.sensor_id.replace(token)
            }
            Member::Value => self.value.replace(token),
            Member::Timestamp => {
                if is_of_record {
                    self.time = Some(TimeMember { name, value: place });
                }
                self.timestamp.replace(token)
            }
            Member::Other => {
                // Where there is a timestamp, nobody asks what else might be one.
                if self.timestamp.is_none() && self.time.is_none() && is_time_name(&name.resolved()) {
                    self.time = Some(TimeMember { name, value: place });
                }
                None
            }
            Member::Data => None,
        };
        self.has_repeated_key |= repeated.is_some();
        Ok(())
    }
}

impl<'a> Decoder<'a, '_, '_> {
    /// Reads the members of a record's object to its end; readings in its list go out.
    pub(super) fn members(&mut self, members: &mut Members<'a>) -> Result<(), Stop> {
        let mut is_first = true;
        while let Some(name) = self.scanner.next_key(&mut is_first)? {
            let member = Member::of(name);
            if member == Member::Data {
                let token = self.scanner.token()?;
                let data = self.data(token, members)?;
                members.has_repeated_key |= members.data.replace(data).is_some();
            } else {
                members.read(&mut self.scanner, name, member, true)?;
            }
        }
        Ok(())
    }

    fn data(&mut self, token: Token<'a>, members: &Members<'a>) -> Result<Data, Stop> {
        let list = self.scanner.mark();
        match token {
            Token::Array if members.sensor_id.is_some() => {
                self.items(Some(&self.list_of(members)))?;
                Ok(Data::Decoded(list))
            }
            Token::Array => {
                self.skip_items(list)?;
                Ok(Data::Waiting(list))
            }
            _ => {
                self.scanner.skip(token)?;
                Ok(Data::NotAList)
            }
        }
    }

    /// What these members say of a list beside them.
    pub(super) fn list_of(&self, members: &Members<'a>) -> List<'a> {
        let slice = |(start, end)| self.scanner.slice(start, end);
        List {
            sensor_id: members.sensor_id.map_or_else(|| Err(no_sensor_id()), sensor_id_of),
            sensor_text: members.sensor_id.is_some().then(|| slice(members.sensor_text)),
            time: members.time.map(|TimeMember { name, value }| (name, slice(value))),
        }
    }

    /// Where more than one thing is wrong, the shape counts first, then value, timestamp, sensor and window.
    pub(super) fn reading(
        &mut self,
        place: Place,
        members: &Members<'a>,
        list: Option<&List<'a>>,
    ) -> Result<Reading, Reject> {
        if members.has_repeated_key {
            return Err(repeated_key());
        }
        let sensor_id = match (members.sensor_id.map(sensor_id_of), list) {
            (Some(own), None) => own,
            (None, None) => Err(no_sensor_id()),
            (own, Some(list)) => list.sensor_id_of(own),
        };
        // A wrong shape says more than a wrong value; an id that is no sensor's says less.
        let sensor_id = match sensor_id {
            Err(reject) if reject.reason == Reason::WrongShape => return Err(reject),
            other => other,
        };
        let value = members.value.ok_or_else(|| Reject::new(Reason::WrongShape, "`value` is missing"))?;
        let value = value_of(value)?;
        let timestamp = members.timestamp.map(timestamp_of).transpose()?;
        let time_beside = list.and_then(|list| list.time);
        match (timestamp, members.time, time_beside) {
            (Some(_), ..) => {}
            (None, Some(member), _) => return Err(not_the_timestamp(member.name)),
            (None, None, Some((name, _))) => return Err(not_the_timestamp_of_a_list(name)),
            (None, None, None) => self.lacks_times = true,
        }
        let sensor_id = sensor_id?;
        let time = match timestamp {
            Some(time) => time,
            None => (self.untimed)(sensor_id, place)?,
        };
        if !self.window.contains(time) {
            let Window { since, until } = self.window;
            return Err(Reject::new(
                Reason::TimeOutOfWindow,
                format!("{time} is not between {since} and {until}"),
            ));
        }
        Ok(Reading { sensor_id, time, value })
    }
}

fn no_sensor_id() -> Reject {
    Reject::new(Reason::WrongShape, "`sensor_id` is missing")
}

impl List<'_> {
    /// The sensor of an item that names one itself, or none.
    fn sensor_id_of(&self, own: Option<Result<i32, Reject>>) -> Result<i32, Reject> {
        match (own, &self.sensor_id) {
            (Some(own), Ok(shared)) if own.as_ref() != Ok(shared) => Err(Reject::new(
                Reason::WrongShape,
                format!("the item's `sensor_id` is not its list's, {shared}"),
            )),
            (_, shared) => shared.clone(),
        }
    }
}

/// What a member's name means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    SensorId,
    Value,
    Timestamp,
    Data,
    Other,
}

impl Member {
    pub(super) fn of(name: Text<'_>) -> Self {
        let of = |name: &[u8]| match name {
            b"sensor_id" => Self::SensorId,
            b"value" => Self::Value,
            b"timestamp" => Self::Timestamp,
            b"data" => Self::Data,
            _ => Self::Other,
        };
        match of(name.0) {
            Self::Other => of(&name.resolved()),
            known => known,
        }
    }
}

fn not_the_timestamp(name: Text<'_>) -> Reject {
    let detail = format!("`{}` is not read: the member is called `timestamp`", quotable(name));
    Reject::new(Reason::InvalidTimestamp, detail)
}

fn not_the_timestamp_of_a_list(name: Text<'_>) -> Reject {
    let detail = format!("`{}` beside `data` is not read: each item has its own `timestamp`", quotable(name));
    Reject::new(Reason::InvalidTimestamp, detail)
}

fn quotable(name: Text<'_>) -> String {
    let name = name.resolved();
    String::from_utf8_lossy(&name[..name.len().min(NAME_QUOTED_MAX_BYTES)]).into_owned()
}

fn sensor_id_of(token: Token<'_>) -> Result<i32, Reject> {
    let Token::Number(digits) = token else {
        return Err(Reject::new(Reason::WrongShape, "`sensor_id` is not a number"));
    };
    let mut integer = digits.strip_prefix(b"-").unwrap_or(digits).iter();
    if !integer.all(u8::is_ascii_digit) {
        return Err(Reject::new(Reason::WrongShape, "`sensor_id` is not an integer"));
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Reject::new(Reason::UnknownSensor, "`sensor_id` is larger than any sensor's"))
}

fn value_of(token: Token<'_>) -> Result<f64, Reject> {
    let value = match token {
        Token::Number(digits) => parse_value(digits),
        Token::String(text) => parse_value(&text.resolved()),
        Token::NotFinite => return Err(Reject::new(Reason::InvalidValue, NOT_A_JSON_NUMBER)),
        Token::Null | Token::True | Token::False | Token::Object | Token::Array => {
            Err(InvalidValue::NotANumber)
        }
    };
    value.map_err(|error| Reject::new(Reason::InvalidValue, format!("`value` is {error}")))
}

fn timestamp_of(token: Token<'_>) -> Result<Timestamp, Reject> {
    let time = match token {
        Token::Null => {
            let detail = "`timestamp` is null: leave it out, or say a time";
            return Err(Reject::new(Reason::InvalidTimestamp, detail));
        }
        Token::Number(digits) => Timestamp::parse_number(digits),
        Token::String(text) => Timestamp::parse_text(&text.resolved()),
        Token::True | Token::False | Token::Object | Token::Array | Token::NotFinite => Err(InvalidTimestamp),
    };
    time.map_err(|error| Reject::new(Reason::InvalidTimestamp, format!("`timestamp` is {error}")))
}
