//! Readings taken out of their records.

use std::collections::BTreeMap;

use super::{Decoded, Frame, Place, Source, decode_with_source, encoding::BYTE_ORDER_MARK};
use crate::reading::{
    Timestamp, Window,
    json::{Scanner, Token},
};

/// For each of these readings of a record, which is read once for all of them, a record in the topic's format that holds
/// just that one, so that it can be sent again alone; for a record that counts as one that is the record as received.
///
/// None where all of them together have more bytes than this: what stands beside a list is in each of them.
pub fn extract_within(payload: &[u8], places: &[Place], most_bytes: usize) -> Option<Vec<Vec<u8>>> {
    // By index; empty until the reading is met.
    let mut records: BTreeMap<u32, Vec<u8>> = places
        .iter()
        .filter_map(|place| match place {
            Place::Whole => None,
            Place::Item(index) => Some((*index, Vec::new())),
        })
        .collect();
    let mut bytes_left = Some(most_bytes);
    if !records.is_empty() {
        let everything =
            Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
        let mut untimed = |_, _| Ok(Timestamp::from_micros(0));
        decode_with_source(
            payload,
            &mut untimed,
            &everything,
            &mut |decoded, source| match (decoded, source) {
                (Decoded::Reading(Place::Item(index), _), Some(source)) => {
                    let Some(record) = records.get_mut(&index) else { return };
                    bytes_left = bytes_left.and_then(|left| left.checked_sub(source.record_bytes()));
                    if bytes_left.is_some() {
                        *record = source.record();
                    }
                }
                (Decoded::TakeBack(from), _) => {
                    records.range_mut(from..).for_each(|(_, record)| record.clear());
                }
                (Decoded::Reading(..), _) => {}
            },
        );
    }
    bytes_left?;
    let record = |place: &Place| match place {
        Place::Item(index) if !records[index].is_empty() => records[index].clone(),
        Place::Item(_) | Place::Whole => payload.to_vec(),
    };
    Some(places.iter().map(record).collect())
}

impl Source<'_> {
    /// How many bytes [`Self::record`] has at most.
    pub fn record_bytes(&self) -> usize {
        /// Brackets, names and what stands between them.
        const FRAME_BYTES: usize = 40;
        let beside = match self.frame {
            Frame::List(list) => {
                let time = list.time.map_or(0, |(name, value)| name.0.len() + value.len());
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
                if let Some((name, value)) = list.time.filter(|(name, _)| is_text(name.0)) {
                    // Left out, it would make a reading of what has no time: null is none either.
                    let value = if is_text(value) { value } else { b"null" };
                    record.extend_from_slice(&[b"\"", name.0, b"\":", value, b","].concat());
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
            Ok(Some(key)) if *key.resolved() == *b"data" => return false,
            Ok(Some(_)) if scanner.value().is_ok() => {}
            Ok(None) => return scanner.end().is_ok(),
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}
