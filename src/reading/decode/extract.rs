//! A reading taken out of its record.

use super::{Place, decode_with_text};
use crate::reading::{
    Timestamp, Window,
    json::{Scanner, Token},
};

/// A record in the topic's format that holds just the reading at `place`, so that it can be sent again alone.
///
/// For a record that counts as one that is the record as received.
pub fn extract(payload: &[u8], place: Place) -> Vec<u8> {
    let Place::Item(wanted) = place else { return payload.to_vec() };
    let everything =
        Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
    let mut found = None;
    let batch = std::str::from_utf8(payload).ok().and_then(batch);
    let _ = decode_with_text(
        payload,
        &mut |_, _| Ok(Timestamp::from_micros(0)),
        &everything,
        &mut |place, _, text| {
            if place == Place::Item(wanted) {
                found = Some(text.to_vec());
            }
        },
    );
    match (found, batch) {
        (Some(item), Some(Batch { sensor_id: Some(id) })) => {
            [b"{\"sensor_id\":", id, b",\"data\":[", &item, b"]}"].concat()
        }
        // Its items have no sensor, whatever they say themselves.
        (Some(item), Some(Batch { sensor_id: None })) => [b"{\"data\":[", item.as_slice(), b"]}"].concat(),
        (Some(item), None) if is_record(&item) => item,
        (Some(item), None) => [b"[", item.as_slice(), b"]"].concat(),
        (None, _) => payload.to_vec(),
    }
}

/// A record of the form `{"sensor_id":…,"data":[…]}`.
struct Batch<'a> {
    /// The id as it stands there, whatever it is.
    sensor_id: Option<&'a [u8]>,
}

/// None for the other forms.
fn batch(text: &str) -> Option<Batch<'_>> {
    let mut scanner = Scanner::new(text);
    let mut batch = Batch { sensor_id: None };
    let Ok(Token::Object) = scanner.token() else { return None };
    let mut is_first = true;
    while let Ok(Some(key)) = scanner.next_key(&mut is_first) {
        let start = scanner.position();
        let token = scanner.token().ok()?;
        scanner.skip(token).ok()?;
        if key.is("sensor_id") {
            batch.sensor_id = Some(scanner.slice(start, scanner.position()));
        }
    }
    Some(batch)
}

/// Whether an item of an array means the same as a record of its own: `data` means nothing in an item, and an array
/// within an array is no list of readings.
fn is_record(item: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(item) else { return false };
    let mut scanner = Scanner::new(text);
    let Ok(Token::Object) = scanner.token() else { return false };
    let mut is_first = true;
    while let Ok(Some(key)) = scanner.next_key(&mut is_first) {
        if key.is("data") || scanner.token().and_then(|token| scanner.skip(token)).is_err() {
            return false;
        }
    }
    true
}
