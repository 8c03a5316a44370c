//! Readings without a timestamp: told apart, the same each time the log is read, and audited.

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use testbed::{Record, TestDatabase, TestTopic, comes_to, eventually};

use crate::site::{PATIENCE, Site, reading};

const START_MS: i64 = 1_767_225_600_000;

fn untimed(sensor_id: i32, value: f64) -> Record {
    Record::new(format!(r#"{{"sensor_id":{sensor_id},"value":{value}}}"#)).key(sensor_id.to_string())
}

/// Everything that is in the table, as one text.
async fn table(database: &TestDatabase) -> String {
    let rows = "SELECT coalesce(md5(string_agg(format('%s %s %s', sensor_id, time, value), ',' ORDER BY sensor_id, time)),
                                'empty')";
    sqlx::query_scalar(&format!("{rows} FROM sensor_data"))
        .fetch_one(&database.pool)
        .await
        .expect("it can be read")
}

/// Many that meet: 3,000 readings of three sensors in one partition, some hundreds for each millisecond, records of one
/// and of several readings, a clock that is set back, and some readings that have a timestamp of their own.
fn crowded() -> Vec<Record> {
    let record = |n: i64| {
        let millis = START_MS + n / 200 - if n % 400 > 390 { 7 } else { 0 };
        let record = match n % 5 {
            0 => Record::new(format!(
                r#"[{{"sensor_id":1,"value":{n}}},{{"sensor_id":2,"value":{n}}},{{"sensor_id":1,"value":{n}.5}}]"#
            )),
            1 => Record::new(format!(r#"{{"sensor_id":3,"data":[{{"value":{n}}},{{"value":{n}.5}}]}}"#)),
            2 => reading(1, n as f64, n),
            _ => untimed((n % 3) as i32 + 1, n as f64),
        };
        record.partition(0).timestamp_ms(millis)
    };
    (0..1_875).map(record).collect()
}

const CROWDED_READINGS: i64 = 3_000;

#[tokio::test]
async fn what_meets_is_told_apart_and_counted_as_stored() {
    let site = Site::new(1, 3).await;
    let three = r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":2},{"sensor_id":1,"value":3}]"#;
    site.topic.produce([Record::new(three).timestamp_ms(START_MS)]).await;
    // A producer's tight loop.
    site.topic.produce((0..1_000).map(|n| untimed(2, f64::from(n)))).await;
    site.store_all().await;
    let times = "SELECT count(*) FROM sensor_data WHERE sensor_id = 1
                 AND time = '2026-01-01T00:00:00Z'::timestamptz + (value - 1) * interval '1 us'";
    assert_eq!(site.database.number(times).await, 3);
    assert_eq!(site.database.row_count().await, 1_003);
    assert_eq!(site.database.tally().await.duplicates, 0);
    site.is_clean(&[]).await;
}

#[tokio::test]
async fn a_batch_with_the_brokers_time_is_told_apart_and_the_topic_is_warned_of() {
    let site = Site::with_topic(TestTopic::name_only(1), 1).await;
    let topic = NewTopic::new(&site.topic.name, 1, TopicReplication::Fixed(1))
        .set("message.timestamp.type", "LogAppendTime");
    site.topic.admin().create_topics([&topic], &AdminOptions::new()).await.expect("Kafka answers");
    site.topic
        .produce((0..60).map(|n| untimed(1, f64::from(n)).timestamp_ms(START_MS + i64::from(n) * 1_000)))
        .await;
    let worker = site.worker().start();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!(site.database.row_count().await, 60);
    let warned = worker.stderr().lines().filter(|line| line.contains("LogAppendTime")).count();
    assert_eq!(warned, 1, "{}", worker.stderr());
    site.stop_when_stored(worker).await;
    site.is_clean(&[]).await;
}

#[tokio::test]
async fn the_log_read_again_is_the_same_table_whatever_happens_on_the_way() {
    let reference = Site::new(1, 3).await;
    reference.topic.produce(crowded()).await;
    reference.store_all().await;
    let expected = table(&reference.database).await;
    assert_eq!(reference.database.row_count().await, CROWDED_READINGS);
    reference.is_clean(&[]).await;

    let site = Site::new(1, 3).await;
    site.topic.produce(crowded()).await;
    // Small batches, workers killed in the middle, and offsets moved back.
    let worker = || {
        site.worker()
            .env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "20")
            .env("SENSORPIPE_TEST_CHECKPOINT_INTERVAL", "100ms")
    };
    for stored in [200, 900, 1_600] {
        let mut worker = worker().start();
        eventually(PATIENCE, async || site.database.tally().await.stored > stored).await;
        worker.kill();
    }
    site.stop_when_stored(worker().start()).await;
    assert_eq!(table(&site.database).await, expected);
    site.is_clean(&[]).await;
    for from in ["1000", "earliest"] {
        let mut replay = site.role(&["replay", "--from", from, "--partition", "0", "--yes"]).start();
        assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
        site.is_clean(&["--no-table-count"]).await;
        site.stop_when_stored(worker().start()).await;
        assert_eq!(table(&site.database).await, expected, "after a replay from {from}");
        site.is_clean(&["--no-table-count"]).await;
    }
    // Under a worker that runs: it is fenced, and goes on from the same place.
    let running = worker().start();
    let mut replay = site.role(&["replay", "--from", "earliest", "--yes"]).start();
    assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    site.stop_when_stored(running).await;
    assert_eq!(table(&site.database).await, expected);
}

#[tokio::test]
async fn without_a_timestamp_of_either_a_reading_is_a_dead_letter_each_time() {
    let site = Site::new(1, 1).await;
    let mixed = r#"[{"sensor_id":1,"value":1,"timestamp":1704067200},{"sensor_id":1,"value":2}]"#;
    let records = [Record::new(mixed), untimed(1, 3.0), reading(1, 4.0, 1)];
    site.topic.produce(records.map(|record| record.timestamp_ms(-1))).await;
    site.store_all().await;
    let letters = site.database.dead_letters().await;
    let found: Vec<_> =
        letters.iter().map(|letter| (letter.offset, letter.item, letter.reason.as_str())).collect();
    assert_eq!(found, [(0, Some(1), "invalid_timestamp"), (1, None, "invalid_timestamp")]);
    assert_eq!(site.database.row_count().await, 2);
    let without =
        "SELECT count(*) FROM dead_letters WHERE record_time IS NULL AND detail LIKE '%has a timestamp%'";
    assert_eq!(site.database.number(without).await, 2);
    let before = table(&site.database).await;
    site.is_clean(&[]).await;
    let mut replay = site.role(&["replay", "--from", "earliest", "--yes"]).start();
    assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    site.store_all().await;
    assert_eq!((table(&site.database).await, site.database.dead_letters().await), (before, letters));
    site.is_clean(&["--no-table-count"]).await;
}

#[tokio::test]
async fn a_dead_letter_is_replayed_at_the_time_that_it_was_given() {
    let site = Site::new(1, 0).await;
    site.topic.produce(crowded()).await;
    site.store_all().await;
    site.database.add_sensors(3).await;
    let mut replay = site.role(&["dead-letters", "replay", "--all"]).start();
    assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    assert_eq!(site.database.row_count().await, CROWDED_READINGS);
    let before = table(&site.database).await;
    // The log says the same: nothing is added.
    let mut replay = site.role(&["replay", "--from", "earliest", "--yes"]).start();
    assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    site.store_all().await;
    assert_eq!(table(&site.database).await, before);
    assert_eq!(site.database.tally().await.stored, 0);
}

#[tokio::test]
async fn where_a_worker_of_the_previous_version_stored_no_audit_looks() {
    let site = Site::new(1, 1).await;
    let three = r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":2},{"sensor_id":1,"value":3}]"#;
    site.topic.produce((0..10).map(move |n| Record::new(three).timestamp_ms(START_MS + n))).await;
    site.store_all().await;
    // As it would have: one row for each record, and it knows nothing of the column.
    site.database
        .execute("DELETE FROM sensor_data WHERE value > 1; UPDATE ingest_offsets SET given_times = NULL")
        .await;
    site.differs(&["--no-table-count"], &["unaccounted"]).await;
    site.topic.produce((10..20).map(move |n| Record::new(three).timestamp_ms(START_MS + n))).await;
    site.store_all().await;
    let audited = site.is_clean(&["--no-table-count"]).await;
    let part = &audited.partition(0)["audited"];
    assert_eq!((&part["from"], &part["counts"]["stored"]), (&10.into(), &30.into()));
    // It takes turns with one of this version, as while workers are replaced.
    site.database
        .execute("SET application_name = 'sensorpipe worker'; UPDATE ingest_offsets SET next_offset = 21, stored = stored + 1")
        .await;
    let column = "SELECT count(*) FROM ingest_offsets WHERE given_times IS NULL";
    assert_eq!(site.database.number(column).await, 1, "it is of the offset before");
    site.topic.produce((20..30).map(move |n| Record::new(three).timestamp_ms(START_MS + n))).await;
    site.store_all().await;
    let audited = site.is_clean(&["--no-table-count"]).await;
    assert_eq!(audited.partition(0)["audited"]["from"], 21);
}

#[tokio::test]
async fn where_retention_took_the_records_before_only_what_is_sure_is_looked_up() {
    let site = Site::new(1, 3).await;
    let worker = site
        .worker()
        .env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "20")
        .env("SENSORPIPE_TEST_CHECKPOINT_INTERVAL", "100ms")
        .start();
    site.topic.produce(crowded()).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let checkpoint = r#"SELECT count(*) FROM audit_checkpoints WHERE "offset" = 1875"#;
    comes_to("a checkpoint", PATIENCE, 1, async || site.database.number(checkpoint).await).await;
    site.topic.produce(crowded().into_iter().map(|record| record.timestamp_ms(START_MS + 10))).await;
    site.stop_when_stored(worker).await;
    site.database.execute(r#"DELETE FROM audit_checkpoints WHERE "offset" NOT IN (0, 1875)"#).await;
    site.is_clean(&[]).await;
    // In the middle of a millisecond.
    site.topic.delete_before(&[(0, 1_777)]).await;
    let audited = site.is_clean(&[]).await;
    let part = &audited.partition(0)["audited"];
    assert_eq!((&part["from"], &part["counted_from"]), (&1_777.into(), &1_875.into()));
    assert_eq!(part["counts"]["stored"].as_i64(), Some(CROWDED_READINGS - 375), "{part:#}");
    site.topic.delete_before(&[(0, 2_000)]).await;
    site.is_clean(&[]).await;
}
