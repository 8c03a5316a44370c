//! Stored, duplicate or dead-lettered.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use testbed::{DeadLetter, Readings, Record, Tally, TestDatabase, TestTopic};

use crate::{PATIENCE, worker};

/// Sends lines of `key<tab>value` as an operator would.
fn kcat(topic: &TestTopic, lines: &str) {
    let mut kcat = Command::new("kcat")
        .args(["-P", "-q", "-b", &topic.brokers, "-t", &topic.name, "-K", "\t", "-X", "acks=all"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat is installed");
    kcat.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("kcat reads");
    assert!(kcat.wait().expect("it can be waited for").success(), "kcat failed");
}

#[tokio::test]
async fn all_three_forms_from_kcat_are_stored_and_a_second_time_duplicates() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(3).await);
    database.add_sensors(3).await;
    let _worker = worker(&database, &topic).start();
    let lines = [
        "1\t{\"sensor_id\":1,\"value\":21.5,\"timestamp\":\"2024-10-12T14:29:00Z\"}\n",
        "2\t{\"sensor_id\":2,\"data\":[{\"value\":1,\"timestamp\":\"2024-10-12 14:29:00\"},",
        "{\"value\":\"2.5\",\"timestamp\":1728743341},{\"value\":3,\"timestamp\":1728743342000}]}\n",
        "3\t[{\"sensor_id\":3,\"value\":4,\"timestamp\":\"2024-10-12T16:29:00+02:00\"},",
        "{\"sensor_id\":1,\"value\":5,\"timestamp\":\"2024-10-12T14:29:01.5Z\"}]\n",
    ]
    .concat();
    kcat(&topic, &lines);
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 6, duplicates: 0, dead_lettered: 0 });
    let as_sent = "SELECT count(*) FROM sensor_data JOIN (VALUES
            (1, 21.5, '2024-10-12T14:29:00Z'::timestamptz), (2, 1, '2024-10-12T14:29:00Z'),
            (2, 2.5, '2024-10-12T14:29:01Z'), (2, 3, '2024-10-12T14:29:02Z'), (3, 4, '2024-10-12T14:29:00Z'),
            (1, 5, '2024-10-12T14:29:01.5Z')) AS sent (sensor_id, value, time) USING (sensor_id, value, time)";
    assert_eq!(database.number(as_sent).await, 6, "readings are not in the table as sent");

    kcat(&topic, &lines);
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 6, duplicates: 6, dead_lettered: 0 });
    assert_eq!((database.row_count().await, database.number(as_sent).await), (6, 6));
}

#[tokio::test]
async fn five_bad_records_among_ten_thousand_cost_no_neighbour() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(4).await);
    database.add_sensors(50).await;
    let readings = Readings { first_sensor: 1, sensors: 50, per_record: 1, step_ms: 1_000 };
    let mut records: Vec<Record> = readings.records(0..9_995).collect();
    let bad: [(&str, &[u8]); 5] = [
        ("malformed_json", br#"{"sensor_id":1,"value":21.5,"timest"#),
        ("unknown_sensor", br#"{ "sensor_id":999, "value":1,"timestamp":"2024-01-01T00:00:00Z"}"#),
        ("invalid_value", br#"{"sensor_id":1,"value":"NaN","timestamp":"2024-01-01T00:00:00Z"}"#),
        ("time_out_of_window", br#"{"sensor_id":1,"value":1,"timestamp":"9999-12-31T23:59:59Z"}"#),
        ("nul_byte", b"{\"sensor_id\":1,\"value\":1,\"timestamp\":\"2024-01-01T00:00:00Z\0\"}"),
    ];
    for (at, (reason, payload)) in bad.iter().enumerate() {
        let record = Record::new(*payload).key(format!("key of {reason}")).partition(at as i32 % 4);
        records.insert(at * 2_000 + 17, record);
    }
    let delivered = topic.produce(records).await;

    let _worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 9_995, duplicates: 0, dead_lettered: 5 });
    assert_eq!(database.row_count().await, 9_995);
    let mut expected: Vec<DeadLetter> = bad
        .iter()
        .enumerate()
        .map(|(at, (reason, payload))| DeadLetter {
            partition: delivered[at * 2_000 + 17].partition,
            offset: delivered[at * 2_000 + 17].offset,
            item: None,
            reason: (*reason).to_owned(),
            key: Some(format!("key of {reason}").into_bytes()),
            payload: Some(payload.to_vec()),
        })
        .collect();
    expected.sort_by_key(|letter| (letter.partition, letter.offset));
    assert_eq!(database.dead_letters().await, expected);
}

#[tokio::test]
async fn bad_readings_in_good_records_are_set_aside_alone() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(2).await;
    let at = "\"timestamp\":\"2024-05-01T00:00:00Z\"";
    let batch = format!(
        "{{\"sensor_id\":1,\"data\":[{{\"value\":1,{at}}},{{\"value\":\"inf\",\"timestamp\":5}},{{\"value\":2,\"timestamp\":\"soon\"}}]}}"
    );
    let array = format!("[{{\"sensor_id\":77,\"value\":1,{at}}},{{\"sensor_id\":2,\"value\":1,{at}}}]");
    let records = [
        Record::new(batch).key("1"),
        Record::new(array),
        Record::new("[]"),
        Record::without_value().key("gone"),
        Record::new("7"),
        // The record's own time stands in for one that is missing.
        Record::new(r#"{"sensor_id":2,"value":9}"#).timestamp_ms(1_714_608_000_250),
    ];
    topic.produce(records).await;
    let _worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    let letters: Vec<_> = database
        .dead_letters()
        .await
        .into_iter()
        .map(|letter| (letter.offset, letter.item, letter.reason, letter.payload))
        .collect();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let (first, second) = (letters[0].clone(), letters[1].clone());
    assert_eq!((first.0, first.1, first.2.as_str()), (0, Some(1), "invalid_value"), "{letters:?}");
    assert_eq!(first.3, text(r#"{"sensor_id":1,"data":[{"value":"inf","timestamp":5}]}"#));
    assert_eq!((second.0, second.1, second.2.as_str()), (0, Some(2), "invalid_timestamp"), "{letters:?}");
    let rest: Vec<_> = letters[2..].iter().map(|l| (l.0, l.1, l.2.as_str())).collect();
    let expected = [(1, Some(0), "unknown_sensor"), (3, None, "empty_record"), (4, None, "wrong_shape")];
    assert_eq!(rest, expected);
    assert_eq!(database.tally().await, Tally { stored: 3, duplicates: 0, dead_lettered: 5 });
    let own_time = "SELECT count(*) FROM sensor_data WHERE sensor_id = 2 AND value = 9
                    AND time = '2024-05-02T00:00:00.25Z'";
    assert_eq!(database.number(own_time).await, 1, "the record's own timestamp is not the reading's time");
}

#[tokio::test]
async fn readings_without_a_timestamp_in_one_record_are_stored_each() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let array = r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":2},{"sensor_id":1,"value":3}]"#;
    let list = r#"{"sensor_id":1,"data":[{"value":4},{"value":5}]}"#;
    let at = |record: &str, time_ms| Record::new(record).timestamp_ms(time_ms);
    topic.produce([at(array, 1_714_608_000_250), at(list, 1_714_608_000_251)]).await;
    let _worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 5, duplicates: 0, dead_lettered: 0 });
    let in_order = "SELECT count(*) FROM sensor_data JOIN (VALUES
            (1, '2024-05-02T00:00:00.25Z'::timestamptz), (2, '2024-05-02T00:00:00.250001Z'),
            (3, '2024-05-02T00:00:00.250002Z'), (4, '2024-05-02T00:00:00.251Z'), (5, '2024-05-02T00:00:00.251001Z'))
        AS sent (value, time) USING (value, time)";
    assert_eq!(database.number(in_order).await, 5, "a place in the record is a microsecond");
}

#[tokio::test]
async fn what_is_no_json_costs_itself_alone_in_every_form() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let mut second = 0;
    let mut item = |value: &str| {
        second += 1;
        format!(r#"{{"sensor_id":1,"value":{value},"timestamp":{}}}"#, 1_728_743_340 + second)
    };
    let mut records = Vec::new();
    for value in ["NaN", "-Infinity", ".5", "+1", "01", "1.", "1,5", "N/A", "'1'", "None"] {
        let mut items = || [item("1"), item(value), item("2")];
        records.push(format!("[{}]", items().join(",")));
        records.push(items().join("\n"));
        records.push(format!(r#"{{"sensor_id":1,"data":[{}]}}"#, items().join(",")));
    }
    let brackets_open = format!("[{},{},{}", item("1"), item("2"), r#"{"sensor_id":1,"value":"#);
    records.push(brackets_open);
    topic.produce(records.into_iter().map(Record::new)).await;
    let _worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 62, duplicates: 0, dead_lettered: 31 });
    let letters = database.dead_letters().await;
    assert!(letters[..30].iter().all(|letter| letter.item == Some(1)), "{letters:?}");
    let not_finite = letters.iter().filter(|letter| letter.reason == "invalid_value").count();
    assert_eq!((not_finite, letters[30].item), (6, Some(2)));
    assert_eq!(letters[30].payload.as_deref(), Some(&br#"[{"sensor_id":1,"value":"#[..]));
}

#[tokio::test]
async fn lists_sequences_and_names_of_times_meet_their_fates() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(2).await;
    let at = "\"timestamp\":\"2024-05-01T00:00:00Z\"";
    let records: [&[u8]; 7] = [
        format!("{{\"sensor_id\":1,\"value\":1,{at}}}\r\n{{\"sensor_id\":2,\"value\":2,{at}}}\r\n").leak().as_bytes(),
        br#"{"sensor_id":1,"data":[{"sensor_id":2,"value":1,"timestamp":5000000000},{"sensor_id":1,"value":3,"timestamp":1714521601}]}"#,
        br#"{"sensor_id":1,"value":1,"time":"2024-05-01T00:00:00Z"}"#,
        br#"{"sensor_id":1,"value":1,"timestamp":null}"#,
        b"\0\0\0\0\x05{\"sensor_id\":1}",
        b"{\0\"\0",
        "\u{feff}{\"sensor_id\":2,\"value\":4,\"timestamp\":1714521602}".as_bytes(),
    ];
    topic.produce(records.map(Record::new)).await;
    let _worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 4, duplicates: 0, dead_lettered: 5 });
    let letters = database.dead_letters().await;
    let fates: Vec<_> = letters.iter().map(|l| (l.offset, l.item, l.reason.as_str())).collect();
    assert_eq!(
        fates,
        [
            (1, Some(0), "wrong_shape"),
            (2, None, "invalid_timestamp"),
            (3, None, "invalid_timestamp"),
            (4, None, "nul_byte"),
            (5, None, "nul_byte"),
        ]
    );
    for (offset, words) in [(2, "`time`"), (3, "null"), (4, "schema registry"), (5, "UTF-16")] {
        let named = format!(
            "SELECT count(*) FROM dead_letters WHERE \"offset\" = {offset} AND detail LIKE '%{words}%'"
        );
        assert_eq!(database.number(&named).await, 1, "{words}");
    }
}

#[tokio::test]
async fn a_record_of_many_dead_letters_is_read_once_for_all_of_them() {
    const READINGS: usize = 15_000;
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let bad = format!("[{}7]", "{\"sensor_id\":1,\"value\":NaN},".repeat(READINGS - 1));
    topic.produce([Record::new(bad)]).await;
    let _worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 0, duplicates: 0, dead_lettered: READINGS as i64 });
}

#[tokio::test]
async fn of_transactions_only_committed_ones_count_and_gaps_do_no_harm() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(10).await;
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 5, step_ms: 1_000 };
    let worker = worker(&database, &topic).start();
    let mut committed = 0;
    for round in 0..6 {
        let commits = round % 2 == 1;
        topic.produce_in_transaction(readings.records(round * 40..(round + 1) * 40), commits).await;
        committed += if commits { 200 } else { 0 };
    }
    // The last transaction is aborted: its records and control records alone stand at the end of the log.
    topic.produce_in_transaction(readings.records(240..280), false).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: committed, duplicates: 0, dead_lettered: 0 });
    let aborted = database
        .number("SELECT count(*) FROM sensor_data WHERE (value::int / 5 / 4) % 2 = 0 OR value >= 120")
        .await;
    assert_eq!((database.row_count().await, aborted), (committed, 0), "readings of aborted transactions");
    assert!(!worker.stderr().contains("ERROR"), "{}", worker.stderr());
}
