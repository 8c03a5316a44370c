//! Records of the topic: `reading::decode` against the reference, there and back.

use sensorpipe::reading::{
    Reading, Reason,
    decode::{self, Place},
    encode,
};

use super::reference::{self, Outcome, RECEIVED, WINDOW};

/// Any bytes may be a record's value.
pub fn check(payload: &[u8]) {
    let found = outcomes(payload);
    assert_eq!(
        comparable(&found),
        comparable(&reference::record(payload)),
        "decode and the reference disagree"
    );
    alone(payload);
    let Ok(found) = found else { return };
    for (item, outcome) in &found {
        let place = item.map_or(Place::Whole, Place::Item);
        same_when_extracted(payload, place, *outcome);
    }
    let readings: Vec<Reading> = found.iter().filter_map(|(_, outcome)| outcome.ok()).collect();
    for reading in &readings {
        assert!(WINDOW.contains(reading.time) && reading.value.is_finite(), "past the limits: {reading:?}");
    }
    there_and_back(&readings);
}

/// As an item on a line, the same bytes are what the reference says.
fn alone(text: &[u8]) {
    let found = decode::single(text, &mut |_, _| Ok(RECEIVED), &WINDOW).map_err(|reject| reject.reason);
    assert_eq!(bits(&found), bits(&reference::item(text)), "single and the reference disagree");
}

/// A dead letter's payload means what its reading meant.
fn same_when_extracted(payload: &[u8], place: Place, outcome: Result<Reading, Reason>) {
    let extracted = decode::extract(payload, place);
    let again = outcomes(&extracted).expect("a reading taken out of a record is a record");
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
            let found = outcomes(record.as_bytes()).expect("what is encoded is a record");
            decoded.extend(found.into_iter().map(|(_, outcome)| bits(&outcome)));
        }
        let expected: Vec<_> = readings.iter().map(|reading| bits(&Ok(*reading))).collect();
        assert_eq!(decoded, expected, "encoded and decoded is not the same");
    }
}

fn outcomes(payload: &[u8]) -> Result<Vec<Outcome>, Reason> {
    let mut all = Vec::new();
    let decoded = decode::decode(payload, &mut |_, _| Ok(RECEIVED), &WINDOW, &mut |place, outcome| {
        let item = match place {
            Place::Whole => None,
            Place::Item(index) => Some(index),
        };
        all.push((item, outcome.map_err(|reject| reject.reason)));
    });
    decoded.map(|()| all).map_err(|reject| reject.reason)
}

/// Doubles by their bits: 0.0 and -0.0 are not the same.
type Bits = Result<(i32, i64, u64), Reason>;

fn bits(outcome: &Result<Reading, Reason>) -> Bits {
    outcome.map(|reading| (reading.sensor_id, reading.time.micros(), reading.value.to_bits()))
}

fn comparable(found: &Result<Vec<Outcome>, Reason>) -> Result<Vec<(Option<u32>, Bits)>, Reason> {
    let found = found.as_ref().map_err(|reason| *reason)?;
    Ok(found.iter().map(|(item, outcome)| (*item, bits(outcome))).collect())
}
