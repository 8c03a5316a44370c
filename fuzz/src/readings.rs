//! Bodies of `POST /readings`: NDJSON and JSON, cut into chunks anywhere.

use sensorpipe::{
    http::parsing::{ReadingsForm, readings},
    reading::{Reading, Reason},
};

use super::{
    reference::{self, RECEIVED, WINDOW},
    work,
};

/// The first byte says the form, the second into what pieces the rest is cut, which is the body.
pub fn check(bytes: &[u8]) {
    let [form, cuts, body @ ..] = bytes else { return };
    let form = if form & 1 == 0 { ReadingsForm::Lines } else { ReadingsForm::Values };
    let whole = taken(form, [body]);
    // From a byte at a time to halves, and unevenly.
    let (small, large) = (usize::from(cuts % 16) + 1, usize::from(cuts / 16) * 8 + 1);
    assert_eq!(taken(form, pieces(body, [1, 1])), whole, "cut into bytes");
    assert_eq!(taken(form, pieces(body, [small, large])), whole, "cut into pieces of {small} and {large}");
    work::is_bounded(body, |long| {
        taken(form, [long]);
    });
    let (items, is_whole) = whole;
    for (_, time, value) in items.iter().flatten() {
        assert!((WINDOW.since.micros()..=WINDOW.until.micros()).contains(time), "outside of the window");
        assert!(f64::from_bits(*value).is_finite(), "not finite");
    }
    let begin = &body[..body.len().min(6)];
    if reference::is_foreign(begin) {
        assert!(!is_whole && items.is_empty(), "another encoding");
        return;
    }
    match form {
        ReadingsForm::Lines => {
            assert!(is_whole, "lines never break");
            if let Some(expected) = lines(body) {
                assert_eq!(items, expected, "lines");
            }
        }
        ReadingsForm::Values => {
            let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
            if text.iter().all(|byte| b" \t\r\n".contains(byte)) {
                assert!(!is_whole && items.is_empty(), "no value at all");
            } else if let Some(expected) = reference::record(body, 0) {
                assert!(is_whole, "values that all end");
                let expected: Vec<_> = expected.into_iter().map(|(_, outcome)| bits(outcome)).collect();
                assert_eq!(items, expected, "values");
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

/// None where the reference does not say what becomes of a line.
fn lines(body: &[u8]) -> Option<Vec<Item>> {
    let is_space = |byte: &u8| b" \t\r".contains(byte);
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(is_space));
    let mut items = Vec::new();
    for line in lines {
        let start = line.iter().take_while(|byte| is_space(byte)).count();
        items.extend(reference::record(&line[start..], 1)?.into_iter().map(|(_, outcome)| bits(outcome)));
    }
    Some(items)
}
