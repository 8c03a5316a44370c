//! Readings without a time of their own, and members that mean one.

use super::*;

#[test]
fn a_member_that_means_a_time_is_refused_by_its_name() {
    let reject = |record: &str| match decoded(record.as_bytes()).as_slice() {
        [(_, Err(reject))] => reject.clone(),
        other => panic!("{record}: {other:?}"),
    };
    for name in [
        "time",
        "ts",
        "Timestamp",
        "TIMESTAMP",
        "datetime",
        "date",
        "t",
        "timestamp ",
        "@timestamp",
        "created_at",
    ] {
        for record in [
            format!(r#"{{"sensor_id":1,"value":1,"{name}":"2024-10-12T14:29:00Z"}}"#),
            format!(r#"{{"{name}":"2024-10-12T14:29:00Z","value":1,"sensor_id":1}}"#),
            format!(r#"[{{"sensor_id":1,"value":1,"{name}":null}}]"#),
            format!(r#"{{"sensor_id":1,"data":[{{"value":1,"{name}":5}}]}}"#),
        ] {
            let reject = reject(&record);
            assert_eq!(reject.reason, Reason::InvalidTimestamp, "{record}");
            assert_eq!(reject.detail, format!("`{name}` is not read: the member is called `timestamp`"));
        }
        let both = format!(r#"{{"{name}":5,"sensor_id":1,"timestamp":"{AT}","value":1,"{name}":6}}"#);
        assert_eq!(outcomes(&both), [stored(None, 1, AT, 1.0)], "{both}");
    }
    let null = reject(r#"{"sensor_id":1,"value":1,"timestamp":null}"#);
    assert_eq!(null.reason, Reason::InvalidTimestamp);
    assert!(null.detail.contains("null"), "{null:?}");
    assert_eq!(values(r#"{"sensor_id":1,"value":1,"unit":"C","uptime":5}"#), [Ok(1.0)]);
}

#[test]
fn a_time_beside_a_list_is_none_of_its_readings() {
    let timed = format!(r#"{{"value":1,"timestamp":"{AT}"}}"#);
    let untimed = r#"{"value":2}"#;
    for name in ["timestamp", "time"] {
        for record in [
            format!(r#"{{"{name}":5,"sensor_id":1,"data":[{timed},{untimed}]}}"#),
            format!(r#"{{"sensor_id":1,"{name}":5,"data":[{timed},{untimed}]}}"#),
            format!(r#"{{"sensor_id":1,"data":[{timed},{untimed}],"{name}":5}}"#),
            format!(r#"{{"data":[{timed},{untimed}],"{name}":5,"sensor_id":1}}"#),
        ] {
            assert_eq!(values(&record), [Ok(1.0), Err(Reason::InvalidTimestamp)], "{record}");
            let extracted = extract(record.as_bytes(), Place::Item(1));
            assert_eq!(values(extracted), [Err(Reason::InvalidTimestamp)], "{record}");
        }
        let all_timed = format!(r#"{{"sensor_id":1,"data":[{timed}],"{name}":5}}"#);
        assert_eq!(values(&all_timed), [Ok(1.0)], "{all_timed}");
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
    decode(record, &mut untimed, &window(), &mut |decoded| {
        let Decoded::Reading(_, outcome) = decoded else { panic!("nothing contradicts itself") };
        outcomes.push(outcome.map(|reading| reading.sensor_id).map_err(|reject| reject.reason));
    });
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
