//! Readings taken out of their records.

use std::collections::BTreeMap;

use super::{Decoded, Decoder, Emit, Frame, Place, Reject, Source, Untimed, encoding::BYTE_ORDER_MARK};
use crate::reading::{
    Reading, Timestamp, Window,
    json::{Scanner, Token},
};

/// A record in the topic's format that holds just the reading at `place`, so that it can be sent again alone.
///
/// For a record that counts as one that is the record as received.
pub fn extract(payload: &[u8], place: Place) -> Vec<u8> {
    extract_all(payload, &[place]).pop().expect("one for each place")
}

/// The same for many readings of a record, which is read once for all of them.
pub fn extract_all(payload: &[u8], places: &[Place]) -> Vec<Vec<u8>> {
    extract_within(payload, places, usize::MAX).expect("nothing is more than that")
}

/// The same, or none where all of them together have more bytes than this: what stands beside a list is in each of them.
pub fn extract_within(payload: &[u8], places: &[Place], most_bytes: usize) -> Option<Vec<Vec<u8>>> {
    let indices = places.iter().filter_map(|place| match place {
        Place::Whole => None,
        Place::Item(index) => Some((*index, Vec::new())),
    });
    let mut wanted = Wanted { records: indices.collect(), bytes_left: Some(most_bytes) };
    if !wanted.records.is_empty() {
        let everything =
            Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
        let mut untimed = |_, _| Ok(Timestamp::from_micros(0));
        Decoder::new(payload, &mut untimed, &everything).payload(payload, &mut wanted);
    }
    wanted.bytes_left?;
    let record = |place: &Place| match place {
        Place::Item(index) if !wanted.records[index].is_empty() => wanted.records[index].clone(),
        Place::Item(_) | Place::Whole => payload.to_vec(),
    };
    Some(places.iter().map(record).collect())
}

/// As [`super::decode`]; with each reading, good or bad, where it stands.
pub fn decode_with_source(
    payload: &[u8],
    untimed: &mut Untimed<'_>,
    window: &Window,
    each: &mut impl FnMut(Decoded, Option<Source<'_>>),
) {
    Decoder::new(payload, untimed, window).payload(payload, &mut WithSource(each));
}

struct WithSource<'e, E>(&'e mut E);

impl<E: FnMut(Decoded, Option<Source<'_>>)> Emit for WithSource<'_, E> {
    fn push(&mut self, place: Place, outcome: Result<Reading, Reject>, source: Source<'_>) {
        (self.0)(Decoded::Reading(place, outcome), Some(source));
    }

    fn take_back(&mut self, index: u32) {
        (self.0)(Decoded::TakeBack(index), None);
    }
}

/// Records of their own by index; empty until the reading is met.
struct Wanted {
    records: BTreeMap<u32, Vec<u8>>,
    /// None once they were too many.
    bytes_left: Option<usize>,
}

impl Emit for Wanted {
    fn push(&mut self, place: Place, _: Result<Reading, Reject>, source: Source<'_>) {
        if let Place::Item(index) = place
            && let Some(record) = self.records.get_mut(&index)
        {
            self.bytes_left = self.bytes_left.and_then(|left| left.checked_sub(source.record_bytes()));
            if self.bytes_left.is_some() {
                *record = source.record();
            }
        }
    }

    fn take_back(&mut self, from: u32) {
        self.records.range_mut(from..).for_each(|(_, record)| record.clear());
    }
}

impl Source<'_> {
    /// How many bytes [`Self::record`] has at most.
    pub fn record_bytes(&self) -> usize {
        /// Brackets, names and what stands between them.
        const FRAME_BYTES: usize = 40;
        let beside = match self.frame {
            Frame::List(list) => {
                let time = list.time.map_or(0, |(name, value)| name.raw().len() + value.len());
                time + list.sensor_text.map_or(0, <[u8]>::len)
            }
            Frame::Alone | Frame::Array | Frame::BehindList => 0,
        };
        FRAME_BYTES + beside + self.text.len()
    }

    /// A record of which the reading, or what is none, is all.
    pub fn record(&self) -> Vec<u8> {
        let text = self.text;
        match self.frame {
            // Between two commas: in a list of its own it would be no item.
            Frame::Array | Frame::List(_) if text.is_empty() => b",".to_vec(),
            // A mark that is no part of the record's beginning is kept from being taken for one.
            Frame::Alone if text.starts_with(BYTE_ORDER_MARK) => [BYTE_ORDER_MARK, text].concat(),
            Frame::Alone => text.to_vec(),
            Frame::Array if self.is_open => [b"[", text].concat(),
            Frame::Array if is_record(text) => text.to_vec(),
            Frame::Array => [b"[", text, b"]"].concat(),
            Frame::List(list) => {
                let mut record = b"{".to_vec();
                // What is not UTF-8 beside the list would cost the reading.
                let is_text = |text: &[u8]| std::str::from_utf8(text).is_ok();
                if let Some(sensor_id) = list.sensor_text.filter(|text| is_text(text)) {
                    record.extend_from_slice(&[b"\"sensor_id\":", sensor_id, b","].concat());
                }
                if let Some((name, value)) = list.time.filter(|(name, _)| is_text(name.raw())) {
                    // Left out, it would make a reading of what has no time: null is none either.
                    let value = if is_text(value) { value } else { b"null" };
                    record.extend_from_slice(&[b"\"", name.raw(), b"\":", value, b","].concat());
                }
                let end: &[u8] = if self.is_open { b"" } else { b"]}" };
                record.extend_from_slice(&[b"\"data\":[", text, end].concat());
                record
            }
            // No JSON, as it was none in its place, and with the bracket that is closed in it.
            Frame::BehindList => [b"{,", text].concat(),
        }
    }
}

/// Whether an item of an array means the same as a record of its own: `data` means nothing in an item, and an array
/// within an array is no list of readings.
fn is_record(item: &[u8]) -> bool {
    // Nested as deep as it is in its array: what is too deep there is not to be taken alone.
    let mut scanner = Scanner::within_array(item);
    let Ok(Token::Object) = scanner.token() else { return false };
    let mut is_first = true;
    loop {
        match scanner.next_key(&mut is_first) {
            Ok(Some(key)) if key.is("data") => return false,
            Ok(Some(_)) if scanner.token().and_then(|token| scanner.skip(token)).is_ok() => {}
            Ok(None) => return scanner.end().is_ok(),
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}
