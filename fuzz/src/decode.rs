//! Records of the topic: `reading::decode` against the reference, there and back.

use sensorpipe::reading::{
    Reading, Reason,
    decode::{self, Decoded, Place},
    encode,
};

use super::{
    letters,
    reference::{self, Outcome, RECEIVED, WINDOW},
    work,
};

/// Any bytes may be a record's value.
pub fn check(payload: &[u8]) {
    let found = outcomes(payload);
    if let Some(expected) = reference::record(payload, 1) {
        assert_eq!(comparable(&found), comparable(&expected), "decode and the reference disagree");
    } else {
        assert!(found.iter().any(|(_, outcome)| outcome.is_err()), "what is no record has no fault");
    }
    let places: Vec<_> = found.iter().map(|(item, _)| *item).collect();
    let counted: Vec<_> = (0..).take(found.len()).map(Some).collect();
    assert!(places == [None] || places == counted, "places are counted through: {places:?}");
    alone(payload);
    for (item, outcome) in &found {
        let place = item.map_or(Place::Whole, Place::Item);
        same_when_extracted(payload, place, *outcome);
    }
    let readings: Vec<Reading> = found.iter().filter_map(|(_, outcome)| outcome.ok()).collect();
    for reading in &readings {
        assert!(WINDOW.contains(reading.time) && reading.value.is_finite(), "past the limits: {reading:?}");
    }
    there_and_back(&readings);
    work::is_bounded(payload, |long| {
        letters::of(long, usize::MAX);
    });
}

/// As an item of an array, the same bytes are what the reference says.
fn alone(text: &[u8]) {
    let found = decode::single(text, &mut |_, _| Ok(RECEIVED), &WINDOW).map_err(|reject| reject.reason);
    let expected = reference::item(text);
    // A bare number that is not finite is no JSON to the reference; something else may be wrong with it besides.
    let is_refused = found.is_err() && expected == Err(Reason::MalformedJson);
    if !(is_refused && reference::may_be_not_finite(&String::from_utf8_lossy(text))) {
        assert_eq!(bits(&found), bits(&expected), "single and the reference disagree");
    }
}

/// A dead letter's payload means what its reading meant. What can never be stored as it is, is not sent again: that it
/// may be cut in another way where it stands alone does not matter, if no reading comes of it.
fn same_when_extracted(payload: &[u8], place: Place, outcome: Result<Reading, Reason>) {
    let extracted = decode::extract_within(payload, &[place], usize::MAX)
        .and_then(|mut all| all.pop())
        .expect("one for each place");
    let again = outcomes(&extracted);
    if outcome.is_err_and(|reason| !reason.may_pass_later()) {
        assert!(again.iter().all(|(_, again)| again.is_err()), "what is none holds a reading: {again:?}");
        return;
    }
    let [(_, again)] = again.as_slice() else { panic!("one reading was taken out, and there are {again:?}") };
    assert_eq!(
        bits(again),
        bits(&outcome),
        "a reading means something else when it is taken out of its record"
    );
}

/// What is encoded, in records of any size, decodes to the same readings in the same order.
pub fn there_and_back(readings: &[Reading]) {
    for max_bytes in [0, 150, 10_000] {
        let mut decoded = Vec::new();
        for record in encode::batches(readings, max_bytes) {
            let found = outcomes(record.as_bytes());
            decoded.extend(found.into_iter().map(|(_, outcome)| bits(&outcome)));
        }
        let expected: Vec<_> = readings.iter().map(|reading| bits(&Ok(*reading))).collect();
        assert_eq!(decoded, expected, "encoded and decoded is not the same");
    }
}

/// What decoding makes of a record.
pub fn outcomes(payload: &[u8]) -> Vec<Outcome> {
    let mut all = Vec::new();
    decode::decode(payload, &mut |_, _| Ok(RECEIVED), &WINDOW, &mut |decoded| match decoded {
        Decoded::Reading(place, outcome) => {
            let item = match place {
                Place::Whole => None,
                Place::Item(index) => Some(index),
            };
            all.push((item, outcome.map_err(|reject| reject.reason)));
        }
        Decoded::TakeBack(index) => all.truncate(index as usize),
    });
    all
}

/// Doubles by their bits: 0.0 and -0.0 are not the same.
type Bits = Result<(i32, i64, u64), Reason>;

fn bits(outcome: &Result<Reading, Reason>) -> Bits {
    outcome.map(|reading| (reading.sensor_id, reading.time.micros(), reading.value.to_bits()))
}

fn comparable(found: &[Outcome]) -> Vec<(Option<u32>, Bits)> {
    found.iter().map(|(item, outcome)| (*item, bits(outcome))).collect()
}
