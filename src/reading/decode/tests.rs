mod extraction;
mod sensors;
mod times;

use proptest::prelude::*;

use super::*;

const RECEIVED: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const AT: &str = "2026-11-01T00:00:00Z";

fn window() -> Window {
    Window { since: "2000-01-01".parse().unwrap(), until: RECEIVED.plus_micros(86_400_000_000) }
}

fn decoded(payload: &[u8]) -> Vec<(Place, Result<Reading, Reject>)> {
    let mut all = Vec::new();
    decode(payload, &mut time_by_place(RECEIVED), &window(), &mut |decoded| match decoded {
        Decoded::Reading(place, outcome) => all.push((place, outcome)),
        Decoded::TakeBack(index) => all.truncate(index as usize),
    });
    all
}

fn extract_all(payload: &[u8], places: &[Place]) -> Vec<Vec<u8>> {
    extract_within(payload, places, usize::MAX).unwrap()
}

fn extract(payload: &[u8], place: Place) -> Vec<u8> {
    extract_all(payload, &[place]).pop().unwrap()
}

type Outcome = (Option<u32>, Result<(i32, String, f64), Reason>);

fn outcomes(payload: impl AsRef<[u8]>) -> Vec<Outcome> {
    let outcome = |(place, outcome): (Place, Result<Reading, Reject>)| {
        let item = match place {
            Place::Whole => None,
            Place::Item(index) => Some(index),
        };
        let outcome = outcome.map(|reading| (reading.sensor_id, reading.time.to_string(), reading.value));
        (item, outcome.map_err(|reject| reject.reason))
    };
    decoded(payload.as_ref()).into_iter().map(outcome).collect()
}

/// Value of each that is a reading, reason of each that is none; their places are those in the list.
fn values(payload: impl AsRef<[u8]>) -> Vec<Result<f64, Reason>> {
    let all = outcomes(payload.as_ref());
    let places: Vec<_> = all.iter().map(|(item, _)| *item).collect();
    let in_order: Vec<_> = (0..places.len() as u32).map(Some).collect();
    assert!(places == in_order || places == [None], "{places:?}");
    all.into_iter().map(|(_, outcome)| outcome.map(|(_, _, value)| value)).collect()
}

fn stored(item: Option<u32>, sensor_id: i32, time: &str, value: f64) -> Outcome {
    (item, Ok((sensor_id, time.to_owned(), value)))
}

#[test]
fn the_three_forms() {
    assert_eq!(
        outcomes(br#"{"sensor_id":1,"value":21.5,"timestamp":"2026-11-01T00:00:00Z"}"#),
        [stored(None, 1, AT, 21.5)]
    );
    let list = br#"{"sensor_id":1,"data":[{"value":1,"timestamp":"2026-11-01T00:00:00Z"},{"value":"2","timestamp":1793491200}]}"#;
    let both = [stored(Some(0), 1, AT, 1.0), stored(Some(1), 1, AT, 2.0)];
    assert_eq!(outcomes(list), both);
    let list_first = br#"{"data":[{"value":1,"timestamp":"2026-11-01T00:00:00Z"},{"value":2,"timestamp":1793491200000}],"sensor_id":1}"#;
    assert_eq!(outcomes(list_first), both);
    let array = br#"[{"sensor_id":1,"value":1,"timestamp":"2026-11-01"},{"sensor_id":2,"value":3}]"#;
    let second = stored(Some(1), 2, &RECEIVED.plus_micros(1).to_string(), 3.0);
    assert_eq!(outcomes(array), [stored(Some(0), 1, AT, 1.0), second]);
}

#[test]
fn values_follow_each_other() {
    let (a, b) = (r#"{"sensor_id":1,"value":1}"#, r#"{"sensor_id":2,"value":2}"#);
    let list = r#"{"sensor_id":3,"data":[{"value":3},{"value":4}]}"#;
    for sequence in [
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("{a}{b}"),
        format!(" {a} [{b}]"),
        format!("[{a}]\n[]\n[{b}]"),
        format!("\u{feff}{a}\n{b}"),
    ] {
        assert_eq!(values(&sequence), [Ok(1.0), Ok(2.0)], "{sequence}");
    }
    assert_eq!(values(format!("{a}\n{list}\n{b}")), [Ok(1.0), Ok(3.0), Ok(4.0), Ok(2.0)]);
    let times: Vec<_> = decoded(format!("{a}\n{list}").as_bytes())
        .into_iter()
        .map(|(_, reading)| reading.unwrap().time.micros() - RECEIVED.micros())
        .collect();
    assert_eq!(times, [0, 1, 2], "each has a place of its own");
    assert_eq!(outcomes(format!("\u{feff}{a}"))[0].0, None, "one alone is its record");
}

#[test]
fn an_empty_list_holds_no_reading() {
    for payload in ["[]", r#"{"sensor_id":1,"data":[]}"#, r#"{"data":[],"sensor_id":1}"#, "[]\n[]"] {
        assert_eq!(outcomes(payload), [], "{payload}");
    }
}

#[test]
fn a_record_that_is_wrong_as_a_whole_counts_as_one() {
    for (payload, reason) in [
        (&b""[..], Reason::EmptyRecord),
        (b" ", Reason::MalformedJson),
        (br#"{"sensor_id":1,"value":21"#, Reason::MalformedJson),
        (br#"{"sensor_id":1,"value":.5}"#, Reason::MalformedJson),
        (br#"[{"sensor_id":1,"value":1,"#, Reason::MalformedJson),
        (br#"{"sensor_id":1,"data":[{"value":1}"#, Reason::MalformedJson),
        (br#"{"data":[{"value":1},{"value":1"#, Reason::MalformedJson),
        (b"not JSON at all", Reason::MalformedJson),
        (b"{\"sensor_id\":1,\"value\":1,\"unit\":\"\xff\"}", Reason::MalformedJson),
        (b"{\"sensor_id\":1,\"value\":1,\"unit\":\"\\n\xff\"}", Reason::MalformedJson),
        (b"{\"sensor_id\":1,\"value\":1\0}", Reason::NulByte),
        (b"\0", Reason::NulByte),
        (b"{\"sensor_id\":1,\"value\":1,\"unit\":\"\0\"}", Reason::NulByte),
        (b"\0\0\0\0\x01{\"sensor_id\":1,\"value\":1}", Reason::NulByte),
        (b"{\0\"\0", Reason::NulByte),
        (b"21.5", Reason::WrongShape),
        (b"null", Reason::WrongShape),
        (br#""{\"sensor_id\":1}""#, Reason::WrongShape),
        (br#"{"sensor_id":1,"data":{}}"#, Reason::WrongShape),
        (br#"{"sensor_id":1,"data":[],"value":1}"#, Reason::WrongShape),
        (br#"{"sensor_id":1,"data":[{"value":1}],"value":1}"#, Reason::WrongShape),
        (br#"{"sensor_id":1,"value":1,"data":[{"value":1}]}"#, Reason::WrongShape),
        (br#"{"sensor_id":1,"data":[{"value":1}],"sensor_id":2}"#, Reason::WrongShape),
        (br#"{"sensor_id":1,"data":[],"data":[]}"#, Reason::WrongShape),
    ] {
        assert_eq!(outcomes(payload), [(None, Err(reason))], "{}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn a_bad_reading_has_a_reason_and_its_neighbours_stay() {
    for (payload, reason) in [
        (r#"{"value":1}"#, Reason::WrongShape),
        (r#"{"sensor_id":"1","value":1}"#, Reason::WrongShape),
        (r#"{"sensor_id":1.5,"value":1}"#, Reason::WrongShape),
        (r#"{"sensor_id":1}"#, Reason::WrongShape),
        (r#"{"sensor_id":1,"value":1,"value":2}"#, Reason::WrongShape),
        (r#"{"sensor_id":1,"value":"NaN"}"#, Reason::InvalidValue),
        (r#"{"sensor_id":1,"value":null}"#, Reason::InvalidValue),
        (r#"{"sensor_id":1,"value":true}"#, Reason::InvalidValue),
        (r#"{"sensor_id":1,"value":[1]}"#, Reason::InvalidValue),
        (r#"{"sensor_id":1,"value":1e999}"#, Reason::InvalidValue),
        (r#"{"sensor_id":1,"value":1,"timestamp":"yesterday"}"#, Reason::InvalidTimestamp),
        (r#"{"sensor_id":1,"value":1,"timestamp":{}}"#, Reason::InvalidTimestamp),
        (r#"{"sensor_id":1,"value":1,"timestamp":"9999-01-01T00:00:00Z"}"#, Reason::TimeOutOfWindow),
        (r#"{"sensor_id":1,"value":1,"timestamp":"1999-12-31T23:59:59.999999Z"}"#, Reason::TimeOutOfWindow),
        (r#"{"sensor_id":3000000000,"value":1}"#, Reason::UnknownSensor),
    ] {
        assert_eq!(outcomes(payload), [(None, Err(reason))], "{payload}");
        let (before, behind) = (r#"{"sensor_id":1,"value":1}"#, r#"{"sensor_id":2,"value":2}"#);
        for record in [format!("[{before},{payload},{behind}]"), format!("{before}\n{payload}\n{behind}")] {
            assert_eq!(values(&record), [Ok(1.0), Err(reason), Ok(2.0)], "{record}");
        }
    }
    assert_eq!(outcomes(b"[7]"), [(Some(0), Err(Reason::WrongShape))]);
}

/// What programs write for a value that is none, and what is wrong with it.
const NO_JSON: [(&str, Reason); 20] = [
    ("NaN", Reason::InvalidValue),
    ("nan", Reason::InvalidValue),
    ("-nan", Reason::InvalidValue),
    ("Infinity", Reason::InvalidValue),
    ("-Infinity", Reason::InvalidValue),
    ("inf", Reason::InvalidValue),
    ("NaNs", Reason::MalformedJson),
    (".5", Reason::MalformedJson),
    ("+1", Reason::MalformedJson),
    ("01", Reason::MalformedJson),
    ("1.", Reason::MalformedJson),
    ("0x1F", Reason::MalformedJson),
    ("-", Reason::MalformedJson),
    ("1,5", Reason::MalformedJson),
    ("N/A", Reason::MalformedJson),
    ("'1'", Reason::MalformedJson),
    ("None", Reason::MalformedJson),
    ("undefined", Reason::MalformedJson),
    ("", Reason::MalformedJson),
    ("\"\0\"", Reason::NulByte),
];

#[test]
fn what_is_no_json_costs_itself_alone() {
    let time = r#""timestamp":"2026-11-01T00:00:00Z""#;
    for (value, reason) in NO_JSON {
        let item = |value: &str| format!(r#"{{"sensor_id":1,"value":{value},{time}}}"#);
        let (one, bad, two) = (item("1"), item(value), item("2"));
        let expected = [Ok(1.0), Err(reason), Ok(2.0)];
        for record in [
            format!("[{one},{bad},{two}]"),
            format!("[ {one} , {bad} , {two} ]"),
            format!("{one}\n{bad}\n{two}\n"),
            format!("{one}{bad}{two}"),
            format!(r#"{{"sensor_id":1,"data":[{one},{bad},{two}]}}"#),
            format!(r#"{{"data":[{one},{bad},{two}],"sensor_id":1}}"#),
        ] {
            assert_eq!(values(&record), expected, "{record}");
            let extracted = extract(record.as_bytes(), Place::Item(1));
            assert_eq!(values(&extracted), [Err(reason)], "{}", String::from_utf8_lossy(&extracted));
        }
        assert_eq!(outcomes(&bad), [(None, Err(reason))], "{bad}");
        assert_eq!(
            single(bad.as_bytes(), &mut |_, _| Ok(RECEIVED), &window()).unwrap_err().reason,
            reason,
            "{bad}"
        );
    }
}

#[test]
fn items_that_are_no_objects_or_nothing_at_all() {
    let (one, two) = (r#"{"sensor_id":1,"value":1}"#, r#"{"sensor_id":1,"value":2}"#);
    let malformed = Err(Reason::MalformedJson);
    for (record, expected) in [
        (format!("[{one},{two},]"), [Ok(1.0), Ok(2.0), malformed]),
        (format!("[,{one},{two}]"), [malformed, Ok(1.0), Ok(2.0)]),
        (format!("[{one},NaN,{two}]"), [Ok(1.0), malformed, Ok(2.0)]),
        (format!("[{one},01,{two}]"), [Ok(1.0), malformed, Ok(2.0)]),
        (format!("[{one},\"x\" y,{two}]"), [Ok(1.0), malformed, Ok(2.0)]),
        (format!("[{one},{two}}},{two}]"), [Ok(1.0), malformed, Ok(2.0)]),
        (format!("[{one},null,{two}]"), [Ok(1.0), Err(Reason::WrongShape), Ok(2.0)]),
        (format!("{one}\nERROR: no sensor\n{two}"), [Ok(1.0), malformed, Ok(2.0)]),
        (format!("{one}\n7\n{two}"), [Ok(1.0), Err(Reason::WrongShape), Ok(2.0)]),
        (format!("{one}\n{{\"sensor_id\":1,\"unit\":\"C,\"value\":\n{two}"), [Ok(1.0), malformed, Ok(2.0)]),
        (format!("[{one},{two}] x"), [Ok(1.0), Ok(2.0), malformed]),
    ] {
        assert_eq!(values(&record), expected, "{record}");
    }
    let neighbour_of_no_utf_8 =
        [b"[{\"sensor_id\":1,\"value\":1,\"unit\":\"\xb0C\"},", two.as_bytes(), b"]"].concat();
    assert_eq!(values(neighbour_of_no_utf_8), [malformed, Ok(2.0)]);
}

#[test]
fn where_an_item_has_no_end_the_rest_is_one_reject() {
    let malformed = Err(Reason::MalformedJson);
    for (record, rest) in [
        (r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"val"#, r#"[{"sensor_id":1,"val"#),
        (r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":2}"#, r#"[{"sensor_id":1,"value":2}"#),
        (
            r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":2,{"sensor_id":1,"value":3}]"#,
            r#"[{"sensor_id":1,"value":2,{"sensor_id":1,"value":3}]"#,
        ),
        (r#"{"sensor_id":1,"data":[{"value":1},{"value":"#, r#"{"sensor_id":1,"data":[{"value":"#),
        (r#"{"sensor_id":1,"data":[{"value":1}],"unit":x}"#, r#"{,,"unit":x}"#),
        (r#"{"sensor_id":1,"data":[{"value":1}]"#, "{,"),
        (r#"{"sensor_id":1,"value":1}{"sensor_id":1"#, r#"{"sensor_id":1"#),
    ] {
        assert_eq!(values(record), [Ok(1.0), malformed], "{record}");
        let extracted = extract(record.as_bytes(), Place::Item(1));
        assert_eq!(String::from_utf8_lossy(&extracted), rest, "{record}");
        assert_eq!(values(&extracted), [malformed], "{rest}");
    }
}

#[test]
fn the_work_grows_with_the_record_and_not_with_its_square() {
    let mut brackets = "[".to_owned();
    brackets.push_str(&"{\"sensor_id\":1,\"value\":NaN},x{,".repeat(5_000));
    let mut lines = String::new();
    lines.push_str(&"{\"sensor_id\":1,\"value\":[\n".repeat(5_000));
    let mut bad = "[".to_owned();
    bad.push_str(&"{\"sensor_id\":1,\"value\":.5},".repeat(20_000));
    let started = std::time::Instant::now();
    assert_eq!(values(&brackets).len(), 2);
    assert_eq!(values(&lines).len(), 5_000);
    assert_eq!(values(&bad).len(), 20_001);
    let places: Vec<Place> = (0..20_000).map(Place::Item).collect();
    assert_eq!(extract_all(bad.as_bytes(), &places).len(), 20_000);
    // The rest of the record for each of them would be 20,000 times half a megabyte.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn nesting_counts_from_the_value() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for (record, around) in [
        (r#"{"sensor_id":1,"value":1,"x":NESTED}"#, 1),
        (r#"[{"sensor_id":1,"value":1,"x":NESTED}]"#, 2),
        (r#"{"sensor_id":1,"data":[{"value":1,"x":NESTED}]}"#, 3),
        (r#"{"data":[{"value":1,"x":NESTED}],"sensor_id":1}"#, 3),
    ] {
        for (depth, is_taken) in [(127 - around, true), (128 - around, false)] {
            let record = record.replace("NESTED", &nested(depth));
            let expected = if is_taken { Ok(1.0) } else { Err(Reason::MalformedJson) };
            assert_eq!(values(&record), [expected], "{record}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&record).is_ok(), is_taken, "{record}");
        }
    }
}

#[test]
fn a_reading_alone_is_what_its_record_is() {
    for text in [
        r#"{"sensor_id":1,"value":"2.5","timestamp":1728743340}"#,
        r#" {"value":1,"sensor_id":1,"unit":["C"]} "#,
        r#"{"sensor_id":1,"value":1,"timestamp":null}"#,
        r#"{"sensor_id":1,"value":1,"time":5}"#,
        r#"{"sensor_id":1,"value":"warm"}"#,
        r#"{"sensor_id":1,"value":1,"timestamp":"never"}"#,
        r#"{"value":1}"#,
        "7",
        "{",
        "{\"sensor_id\":1,\"value\":1\0}",
    ] {
        let alone = single(text.as_bytes(), &mut time_by_place(RECEIVED), &window());
        let [(_, recorded)] = &decoded(text.as_bytes())[..] else { panic!("{text}") };
        let reason = |outcome: &Result<Reading, Reject>| outcome.clone().map_err(|reject| reject.reason);
        assert_eq!(reason(&alone), reason(recorded), "{text}");
    }
    for (text, reason) in
        [("[1]", Reason::WrongShape), ("", Reason::MalformedJson), ("{} x", Reason::MalformedJson)]
    {
        assert_eq!(
            single(text.as_bytes(), &mut time_by_place(RECEIVED), &window()).unwrap_err().reason,
            reason
        );
    }
}

proptest! {
    #[test]
    fn reads_what_encode_writes(readings in proptest::collection::vec((-1e300_f64..1e300, 946_684_800_000_000_i64..1_800_000_000_000_000), 0..40)) {
        let readings: Vec<Reading> = readings.into_iter()
            .map(|(value, micros)| Reading { sensor_id: 9, time: Timestamp::from_micros(micros), value })
            .collect();
        let records = crate::reading::encode::batches(&readings, 500);
        let all = records.iter().flat_map(|record| decoded(record.as_bytes()));
        prop_assert_eq!(&all.map(|(_, outcome)| outcome.unwrap()).collect::<Vec<_>>(), &readings);
        prop_assume!(!readings.is_empty());
        // One behind the other they are a record as well.
        let all = decoded(records.concat().as_bytes());
        prop_assert_eq!(&all.into_iter().map(|(_, outcome)| outcome.unwrap()).collect::<Vec<_>>(), &readings);
        for reading in &readings {
            let single = crate::reading::encode::single(reading);
            prop_assert_eq!(decoded(single.as_bytes()), [(Place::Whole, Ok(*reading))]);
        }
    }

    /// Readings among anything at all, item by item: each of them is there, and nothing else is.
    #[test]
    fn neighbours_are_never_lost(items in proptest::collection::vec(any::<Option<bool>>(), 1..20), form in 0..3) {
        let (mut texts, mut expected) = (Vec::new(), Vec::new());
        for (n, kind) in items.iter().enumerate() {
            let (text, outcome) = match kind {
                None => {
                    let (value, reason) = NO_JSON[n % NO_JSON.len()];
                    (format!(r#"{{"sensor_id":1,"value":{value}}}"#), Err(reason))
                }
                Some(true) => (format!(r#"{{"sensor_id":1,"value":{n}}}"#), Ok(n as f64)),
                Some(false) => (r#"{"sensor_id":1}"#.to_owned(), Err(Reason::WrongShape)),
            };
            texts.push(text);
            expected.push(outcome);
        }
        let record = match form {
            0 => format!("[{}]", texts.join(",")),
            1 => texts.join("\n"),
            _ => format!(r#"{{"sensor_id":1,"data":[{}]}}"#, texts.join(",")),
        };
        prop_assert_eq!(values(&record), expected, "{}", record);
    }

    #[test]
    fn never_panics_and_a_dead_letter_means_what_its_item_meant(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        for (place, outcome) in decoded(&payload) {
            prop_assert!(outcome.is_err(), "no reading fits into so few random bytes");
            let again = decoded(&extract(&payload, place));
            prop_assert_eq!(again.len(), 1);
        }
    }
}
