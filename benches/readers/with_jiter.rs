//! Records read with jiter, token by token.

use jiter::{Jiter, JiterError, Peek};
use sensorpipe::reading::{
    Reason, Timestamp, Window,
    decode::{Decoded, Place},
    parse_value,
};

use super::{Fields, List, MAX_DEPTH, Member, decoded, malformed, member};

/// Reads one record.
pub(crate) fn read(payload: &[u8], window: &Window, each: &mut dyn FnMut(Decoded)) {
    if payload.is_empty() {
        return each(decoded(Place::Whole, Err(Reason::EmptyRecord)));
    }
    let mut reader = Reader { jiter: Jiter::new(payload), payload, window, each, index: 0 };
    if reader.record().is_err() {
        reader.take_back();
        reader.push(Place::Whole, Err(malformed(payload)));
    }
}

struct Reader<'a> {
    jiter: Jiter<'a>,
    payload: &'a [u8],
    window: &'a Window,
    each: &'a mut dyn FnMut(Decoded),
    index: u32,
}

impl Reader<'_> {
    fn record(&mut self) -> Result<(), JiterError> {
        let peek = self.jiter.peek()?;
        match peek {
            Peek::Object => self.object()?,
            Peek::Array => self.items(None)?,
            _ => {
                self.skip(peek, 0)?;
                self.jiter.finish()?;
                self.push(Place::Whole, Err(Reason::WrongShape));
            }
        }
        self.jiter.finish()
    }

    fn object(&mut self) -> Result<(), JiterError> {
        let mut fields = Fields::default();
        let mut list = None;
        let mut key = self.jiter.known_object()?.map(member);
        while let Some(member) = key {
            match member {
                Member::Data => {
                    let peek = self.jiter.peek()?;
                    let found = if peek != Peek::Array {
                        self.skip(peek, 1)?;
                        Data::NotAList
                    } else if fields.sensor_id.is_some() {
                        self.items(Some(fields.list()))?;
                        Data::Read
                    } else {
                        let start = self.jiter.current_index();
                        self.skip(peek, 1)?;
                        Data::Waiting(start)
                    };
                    fields.has_repeated_key |= list.replace(found).is_some();
                }
                member => self.member(member, &mut fields)?,
            }
            key = self.jiter.next_key()?.map(super::member);
        }
        let waits_from = match list {
            None => {
                let outcome = fields.reading(Place::Whole, None, self.window);
                self.push(Place::Whole, outcome);
                return Ok(());
            }
            Some(Data::NotAList) => {
                self.take_back();
                self.push(Place::Whole, Err(Reason::WrongShape));
                return Ok(());
            }
            Some(_) if fields.has_repeated_key || fields.value.is_some() => {
                self.take_back();
                self.push(Place::Whole, Err(Reason::WrongShape));
                return Ok(());
            }
            Some(Data::Read) => return Ok(()),
            Some(Data::Waiting(start)) => start,
        };
        let behind = std::mem::replace(&mut self.jiter, Jiter::new(&self.payload[waits_from..]));
        self.items(Some(fields.list()))?;
        self.jiter = behind;
        Ok(())
    }

    fn items(&mut self, list: Option<List>) -> Result<(), JiterError> {
        let mut next = self.jiter.next_array()?;
        while let Some(peek) = next {
            let place = Place::Item(self.index);
            if peek == Peek::Object {
                let mut fields = Fields::default();
                let mut key = self.jiter.known_object()?.map(member);
                while let Some(member) = key {
                    self.member(member, &mut fields)?;
                    key = self.jiter.next_key()?.map(super::member);
                }
                let outcome = fields.reading(place, list, self.window);
                self.push(place, outcome);
            } else {
                self.skip(peek, 1)?;
                self.push(place, Err(Reason::WrongShape));
            }
            next = self.jiter.array_step()?;
        }
        Ok(())
    }

    fn member(&mut self, member: Member, fields: &mut Fields) -> Result<(), JiterError> {
        let peek = self.jiter.peek()?;
        match member {
            Member::SensorId => {
                let sensor_id = if peek.is_num() {
                    sensor_id(self.jiter.known_number_bytes(peek)?)
                } else {
                    self.skip(peek, 1)?;
                    Err(Reason::WrongShape)
                };
                fields.has_repeated_key |= fields.sensor_id.replace(sensor_id).is_some();
            }
            Member::Value => {
                let value = if peek == Peek::String {
                    parse_value(self.jiter.known_str()?.as_bytes()).map_err(|_| Reason::InvalidValue)
                } else if peek.is_num() {
                    Some(self.jiter.known_float(peek)?)
                        .filter(|value| value.is_finite())
                        .ok_or(Reason::InvalidValue)
                } else {
                    self.skip(peek, 1)?;
                    Err(Reason::InvalidValue)
                };
                fields.has_repeated_key |= fields.value.replace(value).is_some();
            }
            Member::Timestamp => {
                let time = if peek == Peek::String {
                    Timestamp::parse_text(self.jiter.known_str()?.as_bytes())
                        .map_err(|_| Reason::InvalidTimestamp)
                } else if peek.is_num() {
                    Timestamp::parse_number(self.jiter.known_number_bytes(peek)?)
                        .map_err(|_| Reason::InvalidTimestamp)
                } else {
                    self.skip(peek, 1)?;
                    Err(Reason::InvalidTimestamp)
                };
                fields.has_repeated_key |= fields.timestamp.replace(time).is_some();
            }
            Member::Data => self.skip(peek, 1)?,
            Member::Other { is_time } => {
                self.skip(peek, 1)?;
                fields.has_other_time |= is_time;
            }
        }
        Ok(())
    }

    /// jiter's own `known_skip` goes deeper than we do.
    fn skip(&mut self, peek: Peek, depth: u32) -> Result<(), JiterError> {
        match peek {
            Peek::Array | Peek::Object if depth >= MAX_DEPTH => self.jiter.next_null(),
            Peek::Array => {
                let mut next = self.jiter.known_array()?;
                while let Some(peek) = next {
                    self.skip(peek, depth + 1)?;
                    next = self.jiter.array_step()?;
                }
                Ok(())
            }
            Peek::Object => {
                let mut goes_on = self.jiter.known_object()?.is_some();
                while goes_on {
                    let peek = self.jiter.peek()?;
                    self.skip(peek, depth + 1)?;
                    goes_on = self.jiter.next_key()?.is_some();
                }
                Ok(())
            }
            _ => self.jiter.known_skip(peek),
        }
    }

    fn push(&mut self, place: Place, outcome: Result<sensorpipe::reading::Reading, Reason>) {
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

/// Longer ones than any integer of jiter's are numbers all the same.
fn sensor_id(digits: &[u8]) -> Result<i32, Reason> {
    if !digits.strip_prefix(b"-").unwrap_or(digits).iter().all(u8::is_ascii_digit) {
        return Err(Reason::WrongShape);
    }
    let id = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    id.ok_or(Reason::UnknownSensor)
}

/// The list under `data`.
enum Data {
    Read,
    /// It began here, before the sensor's id.
    Waiting(usize),
    NotAList,
}
