//! Which sensor a reading is of.

use super::*;

#[test]
fn an_item_may_not_name_another_sensor_than_its_list() {
    for (own, expected) in [
        ("120", Ok(1.0)),
        ("121", Err(Reason::WrongShape)),
        ("\"120\"", Err(Reason::WrongShape)),
        ("null", Err(Reason::WrongShape)),
        ("3000000000", Err(Reason::WrongShape)),
    ] {
        let item = format!(r#"{{"sensor_id":{own},"value":1}}"#);
        for record in [
            format!(r#"{{"sensor_id":120,"data":[{item},{{"value":2}}]}}"#),
            format!(r#"{{"data":[{item},{{"value":2}}],"sensor_id":120}}"#),
        ] {
            assert_eq!(values(&record), [expected, Ok(2.0)], "{record}");
        }
    }
}

#[test]
fn objects_sent_for_a_sensor_need_not_name_it() {
    let sensors = |record: &str| {
        let mut all = Vec::new();
        decode_for_sensor(7, record.as_bytes(), &mut time_by_place(RECEIVED), &window(), &mut |decoded| {
            if let Decoded::Reading(_, outcome) = decoded {
                all.push(outcome.map(|reading| reading.sensor_id).map_err(|reject| reject.reason));
            }
        });
        all
    };
    assert_eq!(sensors(r#"{"value":1}"#), [Ok(7)]);
    assert_eq!(sensors(r#"{"data":[{"value":1},{"value":NaN}]}"#), [Ok(7), Err(Reason::InvalidValue)]);
}
