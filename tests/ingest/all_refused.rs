//! Records of which everything is refused, or nearly: they pass, and what stands beside and behind them is stored.

use std::time::{Duration, Instant};

use testbed::{Record, Tally, TestDatabase, TestTopic};

use crate::{PATIENCE, reading, worker};

/// For a build without optimisation on a busy machine, with the worker's start in it.
const QUICKLY: Duration = Duration::from_secs(30);

/// Readings of all dead letters together.
const SET_ASIDE: &str = "SELECT coalesce(sum(readings), 0)::bigint FROM dead_letters";

async fn stored_within(database: &TestDatabase, topic: &TestTopic, what: &str) {
    let started = Instant::now();
    let _worker = worker(database, topic).start();
    database.stores_all_of(topic, PATIENCE).await;
    let took = started.elapsed();
    println!("{what}: {took:?}");
    assert!(took < QUICKLY, "{what}: {took:?}");
}

#[tokio::test]
async fn three_hundred_thousand_items_that_are_no_readings_hold_nobody_up() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(1).await;
    let bad = format!("[{}[]]", "[],".repeat(300_000));
    let (beside, behind) = (reading(1, 1.0, 1).partition(1), reading(1, 2.0, 2).partition(0));
    topic.produce([Record::new(bad.clone()).partition(0), beside, behind]).await;
    stored_within(&database, &topic, "300,001 items").await;
    assert_eq!(database.tally().await, Tally { stored: 2, duplicates: 0, dead_lettered: 300_001 });
    let letters = database.dead_letters().await;
    let [letter] = letters.as_slice() else { panic!("{} letters", letters.len()) };
    assert_eq!((letter.offset, letter.item, letter.reason.as_str()), (0, None, "wrong_shape"));
    assert_eq!(letter.payload.as_deref(), Some(bad.as_bytes()), "the record as it came");
    assert_eq!(database.number(SET_ASIDE).await, 300_001);
    let told = "SELECT count(*) FROM dead_letters WHERE items = '{0,300000}' AND detail =
                '300001 readings: 300001 wrong_shape; the first one: the item is not an object'";
    assert_eq!(database.number(told).await, 1);
}

#[tokio::test]
async fn an_array_of_a_sensor_that_there_is_not_is_one_letter() {
    const COUNT: i64 = 16_000;
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let item = |n| format!(r#"{{"sensor_id":77,"value":{n},"timestamp":{}}}"#, 1_704_067_200 + n);
    let items: Vec<String> = (0..COUNT).map(item).collect();
    topic.produce([Record::new(format!("[{}]", items.join(","))), reading(1, 1.0, 1)]).await;
    stored_within(&database, &topic, "16,000 readings of an unknown sensor").await;
    assert_eq!(database.tally().await, Tally { stored: 1, duplicates: 0, dead_lettered: COUNT });
    assert_eq!((database.dead_letters().await.len(), database.number(SET_ASIDE).await), (1, COUNT));
}

#[tokio::test]
async fn good_readings_among_many_bad_ones_are_stored() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let item = |n: i64| match n % 3 {
        0 => format!(r#"{{"sensor_id":1,"value":{n},"timestamp":{}}}"#, 1_704_067_200 + n),
        1 => format!(r#"{{"sensor_id":77,"value":{n},"timestamp":{}}}"#, 1_704_067_200 + n),
        _ => "{}".to_owned(),
    };
    let record =
        |items: i64| Record::new(format!("[{}]", (0..items).map(item).collect::<Vec<_>>().join(",")));
    // As many as have a dead letter each, and one more.
    topic.produce([record(1_500), record(1_503)]).await;
    stored_within(&database, &topic, "a third is good").await;
    assert_eq!(database.tally().await, Tally { stored: 501, duplicates: 500, dead_lettered: 2_002 });
    let letters = database.dead_letters().await;
    assert_eq!(letters.iter().filter(|letter| letter.offset == 0).count(), 1_000);
    let [many] = &letters[1_000..] else { panic!("{} letters", letters.len()) };
    assert_eq!((many.offset, many.item, many.reason.as_str()), (1, None, "unknown_sensor"));
    assert_eq!(database.number(SET_ASIDE).await, 2_002);
}

#[tokio::test]
async fn a_batch_whose_letters_take_long_is_cut() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    database
        .execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF (SELECT count(*) FROM changed) > 600 THEN PERFORM pg_sleep(11); END IF; RETURN NULL; END $$;
             CREATE TRIGGER dawdle AFTER INSERT ON dead_letters REFERENCING NEW TABLE AS changed
                 FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
             ALTER TABLE dead_letters ENABLE ALWAYS TRIGGER dawdle",
        )
        .await;
    topic.produce((0..3_000).map(|n| reading(77, 1.0, n)).chain([reading(1, 1.0, 1)])).await;
    let worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 1, duplicates: 0, dead_lettered: 3_000 });
    assert_eq!(database.dead_letters().await.len(), 3_000);
    assert!(worker.stderr().contains("too large for one transaction"), "{}", worker.stderr());
}

/// Of a record that is read again other readings may be refused: its dead letter stands for those.
#[tokio::test]
async fn a_letter_of_many_says_what_is_refused_when_its_record_is_read_again() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let item = |n: i64| {
        let sensor = if n % 2 == 0 { 1 } else { 77 };
        format!(r#"{{"sensor_id":{sensor},"value":{n},"timestamp":{}}}"#, 1_704_067_200 + n)
    };
    topic.produce([Record::new(format!("[{}]", (0..2_400).map(item).collect::<Vec<_>>().join(",")))]).await;
    stored_within(&database, &topic, "half is good").await;
    assert_eq!((database.row_count().await, database.number(SET_ASIDE).await), (1_200, 1_200));

    database
        .execute("DELETE FROM sensor_data; DELETE FROM sensors; UPDATE ingest_offsets SET next_offset = 0")
        .await;
    stored_within(&database, &topic, "nothing is good any more").await;
    assert_eq!((database.dead_letters().await.len(), database.number(SET_ASIDE).await), (1, 2_400));
    let whole =
        "SELECT count(*) FROM dead_letters WHERE items = '{0,2399}' AND detail LIKE '2400 readings: %'";
    assert_eq!(database.number(whole).await, 1);
}
