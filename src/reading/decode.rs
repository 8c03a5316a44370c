//! Bytes of a record to readings: the topic's three forms, without a document tree or an allocation per reading.

mod extract;

use std::borrow::Cow;

pub use extract::extract;

use super::{
    Reading, Reason, Timestamp, Window,
    json::{Malformed, Mark, Scanner, Text, Token},
    parse_value,
};

/// Why a reading, or a whole record, can never be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The contract's name for it.
    pub reason: Reason,
    /// For people: what exactly is wrong.
    pub detail: Cow<'static, str>,
}

impl Reject {
    /// A reject for people to read.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl From<Malformed> for Reject {
    fn from(error: Malformed) -> Self {
        Self::new(Reason::MalformedJson, error.to_string())
    }
}

/// The place of a reading in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The record is the reading.
    Whole,
    /// The record's list has it at this index.
    Item(u32),
}

impl Place {
    /// The index for ordering readings of one record.
    pub fn index(self) -> u32 {
        match self {
            Self::Whole => 0,
            Self::Item(index) => index,
        }
    }
}

/// Says the time of a reading without a timestamp, or why it has none: asked once for each such reading that is good
/// otherwise, in the record's order, with its sensor and its place.
pub type Untimed<'u> = dyn FnMut(i32, Place) -> Result<Timestamp, Reject> + 'u;

/// The record's own time and the reading's place in it in microseconds: readings of one record stay apart.
pub fn time_by_place(record_time: Timestamp) -> impl FnMut(i32, Place) -> Result<Timestamp, Reject> {
    move |_, place| Ok(record_time.plus_micros(i64::from(place.index())))
}

/// What a decoded record calls with: a reading or why it is none, and its JSON as it stands in the record.
type Each<'s> = dyn FnMut(Place, Result<Reading, Reject>, &[u8]) + 's;

/// Reads a record's value and calls `each` for every reading in it, good or bad, in the record's order.
///
/// `untimed` says the time of readings that have no timestamp. An error means that the record as a whole
/// counts as one rejected reading: what `each` was called with before does not count.
pub fn decode(
    payload: &[u8],
    untimed: &mut Untimed<'_>,
    window: &Window,
    each: &mut impl FnMut(Place, Result<Reading, Reject>),
) -> Result<(), Reject> {
    decode_with_text(payload, untimed, window, &mut |place, outcome, _| each(place, outcome))
}

/// Reads one reading, `{"sensor_id":…,"value":…,"timestamp":…}`.
pub fn single(text: &[u8], untimed: &mut Untimed<'_>, window: &Window) -> Result<Reading, Reject> {
    let mut decoder = Decoder { scanner: Scanner::new(utf8(text)?), untimed, window };
    let mut members = || -> Result<Members, Reject> {
        let token = decoder.scanner.token()?;
        if token != Token::Object {
            decoder.scanner.skip(token)?;
            decoder.scanner.end()?;
            return Err(Reject::new(Reason::WrongShape, "the item is not an object"));
        }
        let members = decoder.members(None, None)?;
        decoder.scanner.end()?;
        Ok(members)
    };
    let members = members().map_err(|reject| naming_nul(reject, text))?;
    decoder.reading(Place::Whole, members, None)
}

fn decode_with_text(
    payload: &[u8],
    untimed: &mut Untimed<'_>,
    window: &Window,
    each: &mut Each<'_>,
) -> Result<(), Reject> {
    if payload.is_empty() {
        return Err(Reject::new(Reason::EmptyRecord, "the record has no value"));
    }
    let decoded =
        utf8(payload).and_then(|text| Decoder { scanner: Scanner::new(text), untimed, window }.record(each));
    decoded.map_err(|reject| naming_nul(reject, payload))
}

fn utf8(payload: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(payload)
        .map_err(|_| naming_nul(Reject::new(Reason::MalformedJson, "not UTF-8"), payload))
}

/// A NUL byte is malformed JSON wherever it stands, and a fault of its own to those who look for it.
fn naming_nul(reject: Reject, payload: &[u8]) -> Reject {
    if reject.reason == Reason::MalformedJson && payload.contains(&0) {
        Reject::new(Reason::NulByte, "the record holds a NUL byte")
    } else {
        reject
    }
}

struct Decoder<'a, 'u> {
    scanner: Scanner<'a>,
    untimed: &'a mut Untimed<'u>,
    window: &'a Window,
}

/// The members of a reading's object as far as they have been read.
#[derive(Default)]
struct Members {
    sensor_id: Option<Result<i32, Reject>>,
    value: Option<Result<f64, Reject>>,
    timestamp: Option<Result<Option<Timestamp>, Reject>>,
    data: Option<Data>,
    has_repeated_key: bool,
}

/// The list under `data`.
enum Data {
    /// Its readings have been handed out.
    Decoded,
    /// It came before the sensor's id: this is where its bracket ends.
    Waiting(Mark),
    /// It is not a list.
    NotAList,
}

impl<'a> Decoder<'a, '_> {
    fn record(&mut self, each: &mut Each<'_>) -> Result<(), Reject> {
        let start = self.scanner.position();
        let outcome = match self.scanner.token()? {
            Token::Object => self.object_record(start, each),
            Token::Array => self.array_record(each),
            Token::String(_) | Token::Number(_) | Token::Null | Token::Bool => {
                Err(Reject::new(Reason::WrongShape, "neither an object nor an array"))
            }
        };
        match outcome {
            Err(reject) if reject.reason == Reason::MalformedJson => Err(reject),
            // A shape is right or wrong only where the text is JSON to its end.
            outcome => self.scanner.end().map_err(Reject::from).and(outcome),
        }
    }

    /// `{"sensor_id":…,"value":…,"timestamp":…}` or `{"sensor_id":…,"data":[…]}`.
    fn object_record(&mut self, start: usize, each: &mut Each<'_>) -> Result<(), Reject> {
        let mut members = self.members(None, Some(&mut *each))?;
        let end = self.scanner.mark();
        match members.data.take() {
            None => {
                let text = self.scanner.slice(start, self.scanner.position());
                each(Place::Whole, self.reading(Place::Whole, members, None), text);
                Ok(())
            }
            Some(_) if members.has_repeated_key => Err(repeated_key()),
            Some(_) if members.value.is_some() => Err(Reject::new(
                Reason::WrongShape,
                "both `value` and `data`: a single reading or a list of them",
            )),
            Some(Data::NotAList) => Err(Reject::new(Reason::WrongShape, "`data` is not an array")),
            Some(Data::Decoded) => Ok(()),
            Some(Data::Waiting(list)) => {
                let sensor_id = members.sensor_id.unwrap_or_else(missing_sensor_id);
                self.scanner.rewind(list);
                self.items(Some(&sensor_id), each)?;
                self.scanner.rewind(end);
                Ok(())
            }
        }
    }

    /// `[{"sensor_id":…,"value":…,"timestamp":…},…]`.
    fn array_record(&mut self, each: &mut Each<'_>) -> Result<(), Reject> {
        self.items(None, each)
    }

    /// The items of a list whose bracket has been read.
    fn items(&mut self, sensor_id: Option<&Result<i32, Reject>>, each: &mut Each<'_>) -> Result<(), Reject> {
        let mut is_first = true;
        let mut index = 0;
        while self.scanner.next_item(&mut is_first)? {
            let (start, place) = (self.scanner.position(), Place::Item(index));
            let outcome = match self.scanner.token()? {
                Token::Object => {
                    let members = self.members(sensor_id, None)?;
                    self.reading(place, members, sensor_id)
                }
                token => {
                    self.scanner.skip(token)?;
                    Err(Reject::new(Reason::WrongShape, "the item is not an object"))
                }
            };
            let text = self.scanner.slice(start, self.scanner.position());
            each(place, outcome, text);
            index += 1;
        }
        Ok(())
    }

    /// Reads an object's members to its end. `each` is there where `data` may stand.
    fn members(
        &mut self,
        shared_sensor_id: Option<&Result<i32, Reject>>,
        mut each: Option<&mut Each<'_>>,
    ) -> Result<Members, Reject> {
        let mut members = Members::default();
        let mut is_first = true;
        while let Some(key) = self.scanner.next_key(&mut is_first)? {
            let token = self.scanner.token()?;
            match member(key) {
                Some(Member::SensorId) if shared_sensor_id.is_none() => {
                    members.has_repeated_key |= members.sensor_id.replace(read_sensor_id(token)).is_some();
                    self.scanner.skip(token)?;
                }
                Some(Member::Value) => {
                    members.has_repeated_key |= members.value.replace(read_value(token)).is_some();
                    self.scanner.skip(token)?;
                }
                Some(Member::Timestamp) => {
                    members.has_repeated_key |= members.timestamp.replace(read_timestamp(token)).is_some();
                    self.scanner.skip(token)?;
                }
                Some(Member::Data) if each.is_some() => {
                    let data = self.data(token, members.sensor_id.as_ref(), each.as_deref_mut())?;
                    members.has_repeated_key |= members.data.replace(data).is_some();
                }
                _ => self.scanner.skip(token)?,
            }
        }
        Ok(members)
    }

    fn data(
        &mut self,
        token: Token<'a>,
        sensor_id: Option<&Result<i32, Reject>>,
        each: Option<&mut Each<'_>>,
    ) -> Result<Data, Reject> {
        match (token, sensor_id, each) {
            (Token::Array, Some(_), Some(each)) => {
                self.items(sensor_id, each)?;
                Ok(Data::Decoded)
            }
            (Token::Array, ..) => {
                let list = self.scanner.mark();
                self.scanner.skip(token)?;
                Ok(Data::Waiting(list))
            }
            _ => {
                self.scanner.skip(token)?;
                Ok(Data::NotAList)
            }
        }
    }

    fn reading(
        &mut self,
        place: Place,
        members: Members,
        shared_sensor_id: Option<&Result<i32, Reject>>,
    ) -> Result<Reading, Reject> {
        if members.has_repeated_key {
            return Err(repeated_key());
        }
        let sensor_id = match shared_sensor_id {
            Some(shared) => shared.clone(),
            None => members.sensor_id.unwrap_or_else(missing_sensor_id),
        };
        // A wrong shape says more than a wrong value; an id that is no sensor's says less.
        let sensor_id = match sensor_id {
            Err(reject) if reject.reason == Reason::WrongShape => return Err(reject),
            other => other,
        };
        let value =
            members.value.unwrap_or_else(|| Err(Reject::new(Reason::WrongShape, "`value` is missing")))?;
        let timestamp = members.timestamp.unwrap_or(Ok(None))?;
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

enum Member {
    SensorId,
    Value,
    Timestamp,
    Data,
}

fn member(key: Text<'_>) -> Option<Member> {
    key.with(|name| match name {
        b"sensor_id" => Some(Member::SensorId),
        b"value" => Some(Member::Value),
        b"timestamp" => Some(Member::Timestamp),
        b"data" => Some(Member::Data),
        _ => None,
    })
}

fn missing_sensor_id() -> Result<i32, Reject> {
    Err(Reject::new(Reason::WrongShape, "`sensor_id` is missing"))
}

fn repeated_key() -> Reject {
    Reject::new(Reason::WrongShape, "a key stands twice")
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
        Token::Null | Token::Bool | Token::Object | Token::Array => Err(super::InvalidValue::NotANumber),
    };
    value.map_err(|error| Reject::new(Reason::InvalidValue, format!("`value` is {error}")))
}

/// None stands for the record's own time.
fn read_timestamp(token: Token<'_>) -> Result<Option<Timestamp>, Reject> {
    let time = match token {
        Token::Null => return Ok(None),
        Token::Number(digits) => Timestamp::parse_number(digits),
        Token::String(text) => text.with(Timestamp::parse_text),
        Token::Bool | Token::Object | Token::Array => Err(super::InvalidTimestamp),
    };
    time.map(Some).map_err(|error| Reject::new(Reason::InvalidTimestamp, format!("`timestamp` is {error}")))
}

#[cfg(test)]
mod tests;
