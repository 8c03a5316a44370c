//! A reading taken out of its record.

use super::*;

#[test]
fn a_reading_can_be_taken_out_of_its_record() {
    let whole = br#"{"sensor_id":1,"value":"x"}"#;
    assert_eq!(extract(whole, Place::Whole), whole);
    let list = br#"{"data":[{"value":1}, {"value":"x" } ],"sensor_id":7}"#;
    assert_eq!(extract(list, Place::Item(1)), br#"{"sensor_id":7,"data":[{"value":"x" }]}"#);
    let array = br#"[{"sensor_id":1,"value":1},{"sensor_id":2,"value":"x"}]"#;
    assert_eq!(extract(array, Place::Item(1)), br#"{"sensor_id":2,"value":"x"}"#);
    let lines = b"{\"sensor_id\":1,\"value\":1}\n{\"sensor_id\":7,\"data\":[{\"value\":1},{\"value\":2}]}\n";
    assert_eq!(extract(lines, Place::Item(2)), br#"{"sensor_id":7,"data":[{"value":2}]}"#);
    let without = br#"{"data":[{"sensor_id":1,"value":"x"}]}"#;
    assert_eq!(extract(without, Place::Item(0)), without);
    let wrong = br#"{"data":[{"sensor_id":1,"value":1}],"sensor_id":[ "1"] }"#;
    let extracted = br#"{"sensor_id":[ "1"],"data":[{"sensor_id":1,"value":1}]}"#;
    assert_eq!(extract(wrong, Place::Item(0)), extracted);
    // Neither means the same without its brackets: the one would be refused, the other stored.
    let array = br#"[{"sensor_id":1,"value":1,"data":[]},[{"sensor_id":1,"value":1}]]"#;
    assert_eq!(extract(array, Place::Item(0)), br#"[{"sensor_id":1,"value":1,"data":[]}]"#);
    assert_eq!(extract(array, Place::Item(1)), br#"[[{"sensor_id":1,"value":1}]]"#);
    let several = extract_all(array, &[Place::Item(1), Place::Whole, Place::Item(0)]);
    assert_eq!(several[0], extract(array, Place::Item(1)));
    assert_eq!(several[1], array);
    assert_eq!(several[2], extract(array, Place::Item(0)));
}
