//! Bytes of a record to readings, without a document tree or an allocation per reading.
//!
//! ```text
//! record   = value*             one of them, or NDJSON, or one behind the other
//! value    = {"sensor_id":…,"value":…,"timestamp":…}
//!          | {"sensor_id":…,"data":[{"value":…,"timestamp":…},…]}
//!          | [{"sensor_id":…,"value":…,"timestamp":…},…]
//! ```
//!
//! What is no reading costs itself alone, JSON or not, as long as its brackets say where it ends. Where they do not,
//! the rest of the record is one reject.

mod encoding;
mod extract;
mod for_sensor;
mod list;
mod members;
mod record;
mod time_name;

use std::borrow::Cow;

pub use encoding::{foreign_encoding, without_byte_order_mark};
pub use extract::extract_within;
pub(crate) use for_sensor::{Fault, Listed, read_for_sensor};
pub(crate) use members::Members;
pub use time_name::is_time_name;

pub(crate) use super::json::Token;

use super::{
    Reading, Reason, Timestamp, Window,
    json::{Mark, Scanner},
};
use members::{Member, Stop};

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

/// The place of a reading in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The record is the reading.
    Whole,
    /// It is the one at this index, lists and sequences counted through.
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

/// What decoding a record meets, in the record's order.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A reading, or why it is none.
    Reading(Place, Result<Reading, Reject>),
    /// What came from this index on does not count: the object that it stands in turned out to contradict itself. That
    /// object comes next, as one reject, or its readings do again.
    TakeBack(u32),
}

/// Takes what a record holds, and where each reading of it stands, good or bad.
type Each<'e> = dyn FnMut(Decoded, Option<Source<'_>>) + 'e;

/// Reads a record's value and calls `each` for every reading in it, good or bad. `untimed` says the time of readings
/// without a timestamp. A record that is wrong as a whole is one reject.
pub fn decode(payload: &[u8], untimed: &mut Untimed<'_>, window: &Window, each: &mut impl FnMut(Decoded)) {
    decode_with_source(payload, untimed, window, &mut |decoded, _| each(decoded));
}

/// The same; with each reading, where it stands.
pub fn decode_with_source(payload: &[u8], untimed: &mut Untimed<'_>, window: &Window, each: &mut Each<'_>) {
    // A byte-order mark in front of a record is skipped.
    Decoder::new(without_byte_order_mark(payload), untimed, window, each).payload(payload);
}

/// Reads one reading, `{"sensor_id":…,"value":…,"timestamp":…}`, as an item of an array is read.
pub fn single(text: &[u8], untimed: &mut Untimed<'_>, window: &Window) -> Result<Reading, Reject> {
    if std::str::from_utf8(text).is_err() {
        return Err(malformed("not UTF-8", text));
    }
    let mut nothing = |_: Decoded, _: Option<Source<'_>>| {};
    let mut decoder = Decoder::new(text, untimed, window, &mut nothing);
    let mut members = Members::default();
    let read = members.read_value(&mut decoder.scanner);
    match read.and_then(|is_object| decoder.scanner.end().map(|()| is_object)) {
        Ok(true) => decoder.reading(Place::Whole, &members, None),
        Ok(false) => Err(not_an_object()),
        Err(error) => Err(malformed(error, text)),
    }
}

/// Where a reading stands in its record's text, for a record that has it alone.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    frame: Frame<'s>,
    text: &'s [u8],
    /// Whether it goes on to the record's end, for want of a bracket.
    is_open: bool,
}

impl<'s> Source<'s> {
    fn new(frame: Frame<'s>, text: &'s [u8]) -> Self {
        Self { frame, text, is_open: false }
    }
}

/// What stands around a reading.
#[derive(Clone, Copy)]
enum Frame<'s> {
    /// Nothing: it is a value of the record.
    Alone,
    /// An array.
    Array,
    /// A list under `data`.
    List(&'s members::List<'s>),
    /// The rest of an object whose list has been read.
    BehindList,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the text")]
struct Decoder<'a, 'u, 'e> {
    scanner: Scanner<'a>,
    untimed: &'a mut Untimed<'u>,
    window: &'a Window,
    each: &'a mut Each<'e>,
    /// Whether all of the text is UTF-8; else each part is looked at by itself.
    is_utf_8: bool,
    /// Place of the next reading.
    index: u32,
    /// Whether no value has been read to its end.
    is_first: bool,
    /// Whether brackets were found open at the text's end.
    is_unbalanced: bool,
    /// The next line that begins an object or an array, as far as it has been looked for.
    next_line: usize,
    /// Where the last list under `data` begins and ends.
    list: (usize, usize),
    /// Whether that list has readings without a time.
    lacks_times: bool,
}

impl<'a, 'u, 'e> Decoder<'a, 'u, 'e> {
    fn new(text: &'a [u8], untimed: &'a mut Untimed<'u>, window: &'a Window, each: &'a mut Each<'e>) -> Self {
        Self {
            scanner: Scanner::new(text),
            untimed,
            window,
            each,
            is_utf_8: std::str::from_utf8(text).is_ok(),
            index: 0,
            is_first: true,
            is_unbalanced: false,
            next_line: 0,
            list: (0, 0),
            lacks_times: false,
        }
    }

    fn push(&mut self, place: Place, outcome: Result<Reading, Reject>, source: Source<'_>) {
        (self.each)(Decoded::Reading(place, outcome), Some(source));
        self.index += 1;
    }
}

/// What is no JSON. A NUL byte is that wherever it stands, and a fault of its own to those who look for it.
fn malformed(detail: impl std::fmt::Display, text: &[u8]) -> Reject {
    if text.contains(&0) {
        Reject::new(Reason::NulByte, "a NUL byte")
    } else {
        Reject::new(Reason::MalformedJson, detail.to_string())
    }
}

fn not_an_object() -> Reject {
    Reject::new(Reason::WrongShape, "the item is not an object")
}

fn repeated_key() -> Reject {
    Reject::new(Reason::WrongShape, "a key stands twice")
}

#[cfg(test)]
mod tests;
