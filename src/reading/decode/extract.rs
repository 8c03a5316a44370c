//! Readings taken out of their records.

use std::collections::HashMap;

use super::{Decoder, Emit, Frame, Place, Reject, Source, encoding::BYTE_ORDER_MARK};
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
    let indices = places.iter().filter_map(|place| match place {
        Place::Whole => None,
        Place::Item(index) => Some((*index, Vec::new())),
    });
    let mut wanted = Wanted(indices.collect());
    if !wanted.0.is_empty() {
        let everything =
            Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
        let mut untimed = |_, _| Ok(Timestamp::from_micros(0));
        Decoder::new(payload, &mut untimed, &everything).payload(payload, &mut wanted);
    }
    let record = |place: &Place| match place {
        Place::Item(index) if !wanted.0[index].is_empty() => wanted.0[index].clone(),
        Place::Item(_) | Place::Whole => payload.to_vec(),
    };
    places.iter().map(record).collect()
}

/// Records of their own by index; empty until the reading is met.
struct Wanted(HashMap<u32, Vec<u8>>);

impl Emit for Wanted {
    fn push(&mut self, place: Place, _: Result<Reading, Reject>, source: Source<'_>) {
        if let Place::Item(index) = place
            && let Some(record) = self.0.get_mut(&index)
        {
            *record = source.record();
        }
    }

    fn take_back(&mut self, from: u32) {
        self.0.iter_mut().filter(|(index, _)| **index >= from).for_each(|(_, record)| record.clear());
    }
}

impl Source<'_> {
    /// A record of which the reading, or what is none, is all.
    fn record(&self) -> Vec<u8> {
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
                if let Some((name, value)) =
                    list.time.filter(|(name, value)| is_text(name.raw()) && is_text(value))
                {
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
