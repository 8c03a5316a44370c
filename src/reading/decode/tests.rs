use proptest::prelude::*;

use super::*;

const RECEIVED: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn window() -> Window {
    Window { since: "2000-01-01".parse().unwrap(), until: RECEIVED.plus_micros(86_400_000_000) }
}

type Outcome = (Option<u32>, Result<(i32, String, f64), Reason>);

fn outcomes(payload: &[u8]) -> Result<Vec<Outcome>, Reason> {
    let mut all = Vec::new();
    decode(payload, &mut time_by_place(RECEIVED), &window(), &mut |place, outcome| {
        let item = match place {
            Place::Whole => None,
            Place::Item(index) => Some(index),
        };
        let outcome = outcome.map(|reading| (reading.sensor_id, reading.time.to_string(), reading.value));
        all.push((item, outcome.map_err(|reject| reject.reason)));
    })
    .map_err(|reject| reject.reason)?;
    Ok(all)
}

fn stored(item: Option<u32>, sensor_id: i32, time: &str, value: f64) -> Outcome {
    (item, Ok((sensor_id, time.to_owned(), value)))
}

#[test]
fn the_three_forms() {
    let time = "2026-11-01T00:00:00Z";
    assert_eq!(
        outcomes(br#"{"sensor_id":1,"value":21.5,"timestamp":"2026-11-01T00:00:00Z"}"#),
        Ok(vec![stored(None, 1, time, 21.5)])
    );
    let list = br#"{"sensor_id":1,"data":[{"value":1,"timestamp":"2026-11-01T00:00:00Z"},{"value":"2","timestamp":1793491200}]}"#;
    let both = vec![stored(Some(0), 1, time, 1.0), stored(Some(1), 1, time, 2.0)];
    assert_eq!(outcomes(list), Ok(both.clone()));
    let list_first = br#"{"data":[{"value":1,"timestamp":"2026-11-01T00:00:00Z"},{"value":2,"timestamp":1793491200000}],"sensor_id":1}"#;
    assert_eq!(outcomes(list_first), Ok(both));
    let array = br#"[{"sensor_id":1,"value":1,"timestamp":"2026-11-01"},{"sensor_id":2,"value":3}]"#;
    assert_eq!(
        outcomes(array),
        Ok(vec![
            stored(Some(0), 1, time, 1.0),
            stored(Some(1), 2, &RECEIVED.plus_micros(1).to_string(), 3.0)
        ])
    );
}

#[test]
fn an_empty_list_holds_no_reading() {
    assert_eq!(outcomes(b"[]"), Ok(vec![]));
    assert_eq!(outcomes(br#"{"sensor_id":1,"data":[]}"#), Ok(vec![]));
    assert_eq!(outcomes(br#"{"data":[],"sensor_id":1}"#), Ok(vec![]));
}

#[test]
fn a_record_that_is_wrong_as_a_whole_counts_as_one() {
    for (payload, reason) in [
        (&b""[..], Reason::EmptyRecord),
        (b" ", Reason::MalformedJson),
        (br#"{"sensor_id":1,"value":21"#, Reason::MalformedJson),
        (br#"[{"sensor_id":1,"value":1},{"sensor_id"#, Reason::MalformedJson),
        (br#"[{"sensor_id":1,"value":1}] x"#, Reason::MalformedJson),
        (br#"{"sensor_id":1,"data":{}} x"#, Reason::MalformedJson),
        (br#"{"sensor_id":1,"data":[],"value":1},"#, Reason::MalformedJson),
        (b"{\"sensor_id\":1,\"value\":1}\xff", Reason::MalformedJson),
        (b"{\"sensor_id\":1,\"value\":1\0}", Reason::NulByte),
        (b"\0", Reason::NulByte),
        (b"{\"sensor_id\":1,\"value\":1,\"unit\":\"\0\"}", Reason::NulByte),
        (b"21.5", Reason::WrongShape),
        (b"null", Reason::WrongShape),
        (br#"{"sensor_id":1,"data":{}}"#, Reason::WrongShape),
        (br#"{"sensor_id":1,"data":[],"value":1}"#, Reason::WrongShape),
        (br#"{"sensor_id":1,"data":[],"data":[]}"#, Reason::WrongShape),
    ] {
        assert_eq!(outcomes(payload), Err(reason), "{}", String::from_utf8_lossy(payload));
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
        assert_eq!(outcomes(payload.as_bytes()), Ok(vec![(None, Err(reason))]), "{payload}");
        let among = format!(r#"[{{"sensor_id":1,"value":1}},{payload},{{"sensor_id":2,"value":2}}]"#);
        let among = outcomes(among.as_bytes()).unwrap();
        assert_eq!(among.len(), 3);
        assert_eq!(among[1], (Some(1), Err(reason)), "{payload}");
        assert!(among[0].1.is_ok() && among[2].1.is_ok());
    }
    assert_eq!(outcomes(b"[7]"), Ok(vec![(Some(0), Err(Reason::WrongShape))]));
}

#[test]
fn nesting_counts_from_the_record() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for (record, around) in [
        (r#"{"sensor_id":1,"value":1,"x":NESTED}"#, 1),
        (r#"[{"sensor_id":1,"value":1,"x":NESTED}]"#, 2),
        (r#"{"sensor_id":1,"data":[{"value":1,"x":NESTED}]}"#, 3),
        (r#"{"data":[{"value":1,"x":NESTED}],"sensor_id":1}"#, 3),
    ] {
        for (depth, is_taken) in [(127 - around, true), (128 - around, false)] {
            let record = record.replace("NESTED", &nested(depth));
            assert_eq!(outcomes(record.as_bytes()).is_ok(), is_taken, "{record}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&record).is_ok(), is_taken, "{record}");
        }
    }
}

#[test]
fn a_reading_can_be_taken_out_of_its_record() {
    let whole = br#"{"sensor_id":1,"value":"x"}"#;
    assert_eq!(extract(whole, Place::Whole), whole);
    let list = br#"{"data":[{"value":1}, {"value":"x" } ],"sensor_id":7}"#;
    assert_eq!(extract(list, Place::Item(1)), br#"{"sensor_id":7,"data":[{"value":"x" }]}"#);
    let array = br#"[{"sensor_id":1,"value":1},{"sensor_id":2,"value":"x"}]"#;
    assert_eq!(extract(array, Place::Item(1)), br#"{"sensor_id":2,"value":"x"}"#);
    let without = br#"{"data":[{"sensor_id":1,"value":"x"}]}"#;
    assert_eq!(extract(without, Place::Item(0)), without);
    let wrong = br#"{"data":[{"sensor_id":1,"value":1}],"sensor_id":[ "1"] }"#;
    let extracted = br#"{"sensor_id":[ "1"],"data":[{"sensor_id":1,"value":1}]}"#;
    assert_eq!(extract(wrong, Place::Item(0)), extracted);
    // Neither means the same without its brackets: the one would be refused, the other stored.
    let array = br#"[{"sensor_id":1,"value":1,"data":[]},[{"sensor_id":1,"value":1}]]"#;
    assert_eq!(extract(array, Place::Item(0)), br#"[{"sensor_id":1,"value":1,"data":[]}]"#);
    assert_eq!(extract(array, Place::Item(1)), br#"[[{"sensor_id":1,"value":1}]]"#);
}

#[test]
fn a_reading_alone_is_what_its_record_is() {
    let read = |text: &str| single(text.as_bytes(), &mut time_by_place(RECEIVED), &window());
    for text in [
        r#"{"sensor_id":1,"value":"2.5","timestamp":1728743340}"#,
        r#" {"value":1,"sensor_id":1,"unit":["C"]} "#,
        r#"{"sensor_id":1,"value":1,"timestamp":null}"#,
        r#"{"sensor_id":1,"value":"warm"}"#,
        r#"{"sensor_id":1,"value":1,"timestamp":"never"}"#,
        r#"{"value":1}"#,
        "[1]",
        "7",
        "",
        "{",
        r#"{"sensor_id":1,"value":1} x"#,
        "{\"sensor_id\":1,\"value\":1\0}",
    ] {
        let mut decoded = None;
        let record = decode(text.as_bytes(), &mut time_by_place(RECEIVED), &window(), &mut |_, outcome| {
            decoded = Some(outcome);
        });
        let expected = record.and_then(|()| decoded.unwrap());
        match (read(text), expected) {
            // An array is a record, and nothing is one without a value; neither is a reading.
            (Err(reject), _) if matches!(text, "[1]" | "") => {
                assert!(matches!(reject.reason, Reason::WrongShape | Reason::MalformedJson), "{reject:?}");
            }
            (single, expected) => {
                let reasons = (single.clone().map_err(|r| r.reason), expected.map_err(|r| r.reason));
                assert_eq!(reasons.0, reasons.1, "{text}");
            }
        }
    }
}

#[test]
fn the_time_of_a_reading_without_one_is_asked_for_once_and_only_where_it_counts() {
    let record = br#"[{"sensor_id":1,"value":1},{"sensor_id":2,"value":1,"timestamp":1728743340},
        {"sensor_id":3,"value":"x"},{"value":1},{"sensor_id":3000000000,"value":1},{"sensor_id":6,"value":1}]"#;
    let (mut asked, mut outcomes) = (Vec::new(), Vec::new());
    let mut untimed = |sensor_id, place| {
        asked.push((sensor_id, place));
        if sensor_id == 6 { Err(Reject::new(Reason::InvalidTimestamp, "none")) } else { Ok(RECEIVED) }
    };
    decode(record, &mut untimed, &window(), &mut |_, outcome| {
        outcomes.push(outcome.map(|reading| reading.sensor_id).map_err(|reject| reject.reason));
    })
    .unwrap();
    assert_eq!(asked, [(1, Place::Item(0)), (6, Place::Item(5))]);
    assert_eq!(
        outcomes,
        [
            Ok(1),
            Ok(2),
            Err(Reason::InvalidValue),
            Err(Reason::WrongShape),
            Err(Reason::UnknownSensor),
            Err(Reason::InvalidTimestamp),
        ]
    );
}

#[test]
fn readings_of_one_record_without_timestamps_are_told_apart() {
    let times = |record: &[u8]| {
        let mut times = Vec::new();
        decode(record, &mut time_by_place(RECEIVED), &window(), &mut |_, outcome| {
            times.push(outcome.unwrap().time.micros() - RECEIVED.micros());
        })
        .unwrap();
        times
    };
    assert_eq!(
        times(br#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":2},{"sensor_id":1,"value":3}]"#),
        [0, 1, 2]
    );
    assert_eq!(times(br#"{"data":[{"value":1},{"value":2}],"sensor_id":1}"#), [0, 1]);
    assert_eq!(times(br#"{"sensor_id":1,"value":1}"#), [0]);
}

proptest! {
    #[test]
    fn reads_what_encode_writes(readings in proptest::collection::vec((-1e300_f64..1e300, 946_684_800_000_000_i64..1_800_000_000_000_000), 0..40)) {
        let readings: Vec<Reading> = readings.into_iter()
            .map(|(value, micros)| Reading { sensor_id: 9, time: Timestamp::from_micros(micros), value })
            .collect();
        let mut decoded = Vec::new();
        for record in crate::reading::encode::batches(&readings, 500) {
            decode(record.as_bytes(), &mut time_by_place(RECEIVED), &window(), &mut |_, outcome| decoded.push(outcome.unwrap())).unwrap();
        }
        prop_assert_eq!(&decoded, &readings);
        for reading in &readings {
            let single = crate::reading::encode::single(reading);
            decode(single.as_bytes(), &mut time_by_place(RECEIVED), &window(), &mut |_, outcome| assert_eq!(outcome.unwrap(), *reading)).unwrap();
        }
    }

    #[test]
    fn never_panics_and_never_accepts_what_is_no_json(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        if outcomes(&payload).is_ok_and(|all| all.iter().any(|(_, outcome)| outcome.is_ok())) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&payload).is_ok());
        }
    }
}
