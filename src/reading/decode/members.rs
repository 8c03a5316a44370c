//! The members of a reading's object, and what makes a reading of them.

use super::{Decoder, Emit, Place, Reject, is_time_name, repeated_key};
use crate::reading::{
    InvalidTimestamp, InvalidValue, Reading, Reason, Timestamp, Window,
    json::{Malformed, Mark, Text, Token},
    parse_value,
};

/// What is said of a bare `NaN` or `Infinity` in place of a value: no JSON, and what many programs write all the same.
pub const NOT_A_JSON_NUMBER: &str = "`value` is NaN or an infinity, for which JSON has no number";

/// Bytes of a member's name that a detail quotes, at most.
const NAME_QUOTED_MAX_BYTES: usize = 40;

/// The members of an object as far as they have been read.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) sensor_id: Option<Result<i32, Reject>>,
    /// Where its text stands; only of a record's object.
    sensor_text: (usize, usize),
    pub(super) value: Option<Result<f64, Reject>>,
    timestamp: Option<Result<Timestamp, Reject>>,
    /// What means a time in place of `timestamp`; of a record's object `timestamp` itself, too, for it may have a list.
    pub(super) time: Option<TimeMember<'a>>,
    pub(super) data: Option<Data>,
    pub(super) has_repeated_key: bool,
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

impl Members<'_> {
    pub(super) fn has_list(&self) -> bool {
        matches!(self.data, Some(Data::Decoded(_) | Data::Waiting(_)))
    }
}

impl<'a> Decoder<'a, '_> {
    /// Reads an object's members to its end. `emit` is there where `data` may stand: in a record's object.
    pub(super) fn members(
        &mut self,
        members: &mut Members<'a>,
        mut emit: Option<&mut (dyn Emit + '_)>,
    ) -> Result<(), Stop> {
        let mut is_first = true;
        while let Some(key) = self.scanner.next_key(&mut is_first)? {
            let begin = self.scanner.position();
            let member = member(key);
            let token = match (self.scanner.token(), &member) {
                (Ok(token), _) => token,
                (Err(error), Member::Value) => self.scanner.not_finite(begin).ok_or(error)?,
                (Err(error), _) => return Err(error.into()),
            };
            match member {
                Member::SensorId => {
                    members.has_repeated_key |= members.sensor_id.replace(read_sensor_id(token)).is_some();
                    self.scanner.skip(token)?;
                    members.sensor_text = (begin, self.scanner.position());
                }
                Member::Value => {
                    members.has_repeated_key |= members.value.replace(read_value(token)).is_some();
                    self.scanner.skip(token)?;
                }
                Member::Timestamp => {
                    members.has_repeated_key |= members.timestamp.replace(read_timestamp(token)).is_some();
                    self.scanner.skip(token)?;
                    if emit.is_some() {
                        members.time =
                            Some(TimeMember { name: key, value: (begin, self.scanner.position()) });
                    }
                }
                Member::Data if emit.is_some() => {
                    let data = self.data(token, members, emit.as_deref_mut())?;
                    members.has_repeated_key |= members.data.replace(data).is_some();
                }
                Member::Data => self.scanner.skip(token)?,
                Member::Other => {
                    self.scanner.skip(token)?;
                    // Where there is a timestamp, nobody asks what else might be one.
                    if members.timestamp.is_none() && members.time.is_none() && key.with(is_time_name) {
                        members.time =
                            Some(TimeMember { name: key, value: (begin, self.scanner.position()) });
                    }
                }
            }
        }
        Ok(())
    }

    fn data(
        &mut self,
        token: Token<'a>,
        members: &Members<'a>,
        emit: Option<&mut (dyn Emit + '_)>,
    ) -> Result<Data, Stop> {
        let list = self.scanner.mark();
        match (token, emit) {
            (Token::Array, Some(emit)) if members.sensor_id.is_some() || self.sensor_id.is_some() => {
                self.items(Some(&self.list_of(members)), emit)?;
                Ok(Data::Decoded(list))
            }
            (Token::Array, _) => {
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
            sensor_id: members.sensor_id.clone().unwrap_or_else(|| self.no_sensor_id()),
            sensor_text: members.sensor_id.is_some().then(|| slice(members.sensor_text)),
            time: members.time.map(|TimeMember { name, value }| (name, slice(value))),
        }
    }

    /// Where more than one thing is wrong, the shape counts first, then value, timestamp, sensor and window.
    pub(super) fn reading(
        &mut self,
        place: Place,
        members: &mut Members<'a>,
        list: Option<&List<'a>>,
    ) -> Result<Reading, Reject> {
        if members.has_repeated_key {
            return Err(repeated_key());
        }
        let sensor_id = match (members.sensor_id.take(), list) {
            (Some(own), None) => own,
            (None, None) => self.no_sensor_id(),
            (own, Some(list)) => list.sensor_id_of(own),
        };
        // A wrong shape says more than a wrong value; an id that is no sensor's says less.
        let sensor_id = match sensor_id {
            Err(reject) if reject.reason == Reason::WrongShape => return Err(reject),
            other => other,
        };
        let value = members
            .value
            .take()
            .unwrap_or_else(|| Err(Reject::new(Reason::WrongShape, "`value` is missing")))?;
        let timestamp = members.timestamp.take().transpose()?;
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

    fn no_sensor_id(&self) -> Result<i32, Reject> {
        self.sensor_id.ok_or_else(|| Reject::new(Reason::WrongShape, "`sensor_id` is missing"))
    }
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

enum Member {
    SensorId,
    Value,
    Timestamp,
    Data,
    Other,
}

fn member(key: Text<'_>) -> Member {
    key.with(|name| match name {
        b"sensor_id" => Member::SensorId,
        b"value" => Member::Value,
        b"timestamp" => Member::Timestamp,
        b"data" => Member::Data,
        _ => Member::Other,
    })
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
    name.with(|name| String::from_utf8_lossy(&name[..name.len().min(NAME_QUOTED_MAX_BYTES)]).into_owned())
}

fn read_sensor_id(token: Token<'_>) -> Result<i32, Reject> {
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

fn read_value(token: Token<'_>) -> Result<f64, Reject> {
    let value = match token {
        Token::Number(digits) => parse_value(digits),
        Token::String(text) => text.with(parse_value),
        Token::NotFinite => return Err(Reject::new(Reason::InvalidValue, NOT_A_JSON_NUMBER)),
        Token::Null | Token::Bool | Token::Object | Token::Array => Err(InvalidValue::NotANumber),
    };
    value.map_err(|error| Reject::new(Reason::InvalidValue, format!("`value` is {error}")))
}

fn read_timestamp(token: Token<'_>) -> Result<Timestamp, Reject> {
    let time = match token {
        Token::Null => {
            let detail = "`timestamp` is null: leave it out, or say a time";
            return Err(Reject::new(Reason::InvalidTimestamp, detail));
        }
        Token::Number(digits) => Timestamp::parse_number(digits),
        Token::String(text) => text.with(Timestamp::parse_text),
        Token::Bool | Token::Object | Token::Array | Token::NotFinite => Err(InvalidTimestamp),
    };
    time.map_err(|error| Reject::new(Reason::InvalidTimestamp, format!("`timestamp` is {error}")))
}
