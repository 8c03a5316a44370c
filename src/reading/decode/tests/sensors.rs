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
