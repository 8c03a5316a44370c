//! Bodies of `POST /readings`: NDJSON and arrays, cut into chunks anywhere.

use sensorpipe::{
    http::parsing::{ReadingsForm, readings},
    reading::{Reading, Reason},
};

use super::reference::{self, Json, RECEIVED, WINDOW, parse_nested};

/// The first byte says the form, the second into what pieces the rest is cut, which is the body.
pub fn check(bytes: &[u8]) {
    let [form, cuts, body @ ..] = bytes else { return };
    let form = if form & 1 == 0 { ReadingsForm::Lines } else { ReadingsForm::Array };
    let whole = taken(form, [body]);
    // From a byte at a time to halves, and unevenly.
    let (small, large) = (usize::from(cuts % 16) + 1, usize::from(cuts / 16) * 8 + 1);
    assert_eq!(taken(form, pieces(body, [1, 1])), whole, "cut into bytes");
    assert_eq!(taken(form, pieces(body, [small, large])), whole, "cut into pieces of {small} and {large}");
    let (items, is_whole) = whole;
    for (_, time, value) in items.iter().flatten() {
        assert!((WINDOW.since.micros()..=WINDOW.until.micros()).contains(time), "outside of the window");
        assert!(f64::from_bits(*value).is_finite(), "not finite");
    }
    match form {
        ReadingsForm::Lines => {
            assert!(is_whole, "lines never break");
            assert_eq!(items, lines(body), "lines");
        }
        ReadingsForm::Array => {
            // Items are read one by one, so the brackets around them do not count as nesting.
            let json = std::str::from_utf8(body).ok().and_then(|text| parse_nested(text, -1));
            let expected = json.filter(|json| matches!(json, Json::List(_)));
            assert_eq!(is_whole, expected.is_some(), "a body is whole where it is a JSON array");
            if is_whole {
                assert_eq!(items, array(body), "items");
            }
        }
    }
}

type Item = Result<(i32, i64, u64), Reason>;

fn taken<'b>(form: ReadingsForm, chunks: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Item>, bool) {
    let (items, is_whole) = readings(form, chunks, &WINDOW, RECEIVED);
    (items.into_iter().map(bits).collect(), is_whole)
}

fn bits(outcome: Result<Reading, Reason>) -> Item {
    outcome.map(|reading| (reading.sensor_id, reading.time.micros(), reading.value.to_bits()))
}

/// Pieces of the one size and the other in turn.
fn pieces(mut body: &[u8], sizes: [usize; 2]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    for size in sizes.into_iter().cycle() {
        let (piece, rest) = body.split_at(size.min(body.len()));
        pieces.push(piece);
        if rest.is_empty() {
            return pieces;
        }
        body = rest;
    }
    unreachable!("a cycle has no end")
}

fn lines(body: &[u8]) -> Vec<Item> {
    let is_space = |byte: &u8| b" \t\r".contains(byte);
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(is_space));
    lines.map(|line| bits(reference::item(line))).collect()
}

/// The items of what is a JSON array, as `serde_json` cuts them.
fn array(body: &[u8]) -> Vec<Item> {
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_slice(body).expect("it is an array");
    items.into_iter().map(|item| bits(reference::item(item.get().as_bytes()))).collect()
}
