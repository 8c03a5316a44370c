//! Which of two equal readings stays, also where two writers meet over them.

use testbed::{Readings, Record, Tally, TestDatabase, TestTopic};

use crate::{PATIENCE, reading, worker};

/// Deadlocks that Postgres has broken in the test's database.
async fn deadlocks(database: &TestDatabase) -> i64 {
    database
        .number(
            "SELECT deadlocks FROM pg_stat_database, pg_stat_force_next_flush()
             WHERE datname = current_database()",
        )
        .await
}

/// A hundred readings of five keys; the value tells the order of the log, and the records' timestamps another one.
fn rewritten() -> impl Iterator<Item = Record> + Send + 'static {
    let record = |n: i32| reading(n % 5 + 1, f64::from(n), 0).timestamp_ms(1_704_067_200_000 - i64::from(n));
    (0..100).map(move |n| record(n).partition(0))
}

async fn values_after(policy: &str, batch_max_readings: &str) -> (Tally, Vec<i64>) {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(5).await;
    database.set("on_duplicate", policy).await;
    topic.produce(rewritten()).await;
    let _worker =
        worker(&database, &topic).env("SENSORPIPE_TEST_BATCH_MAX_READINGS", batch_max_readings).start();
    database.stores_all_of(&topic, PATIENCE).await;
    // The same keys once more, through the other partition and so through another writer.
    topic.produce((1..=5).map(|sensor| reading(sensor, 1_000.0, 0).partition(1))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    let mut values = Vec::new();
    for sensor in 1..=5 {
        values.push(
            database
                .number(&format!("SELECT value::bigint FROM sensor_data WHERE sensor_id = {sensor}"))
                .await,
        );
    }
    (database.tally().await, values)
}

#[tokio::test]
async fn the_first_one_stays_by_default() {
    for batch_max_readings in ["7", "50000"] {
        let (tally, values) = values_after("ignore", batch_max_readings).await;
        assert_eq!(tally, Tally { stored: 5, duplicates: 100, dead_lettered: 0 });
        assert_eq!(values, [0, 1, 2, 3, 4], "batches of {batch_max_readings}");
    }
}

#[tokio::test]
async fn the_last_one_stays_where_asked_for() {
    for batch_max_readings in ["7", "50000"] {
        let (tally, values) = values_after("overwrite", batch_max_readings).await;
        assert_eq!(tally, Tally { stored: 5, duplicates: 100, dead_lettered: 0 });
        assert_eq!(values, [1_000; 5], "batches of {batch_max_readings}");
    }
}

#[tokio::test]
async fn the_last_one_of_a_partition_stays_whatever_the_batches() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(5).await;
    database.set("on_duplicate", "overwrite").await;
    topic.produce(rewritten()).await;
    let _worker = worker(&database, &topic).env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "7").start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.number("SELECT min(value)::bigint FROM sensor_data").await, 95);
    assert_eq!(database.tally().await, Tally { stored: 5, duplicates: 95, dead_lettered: 0 });
}

/// Two writers, the same 12,000 keys over ten chunks, in different orders and many small batches.
async fn two_writers_over_the_same_keys(policy: &str) {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(20).await;
    database.set("on_duplicate", policy).await;
    // 600 readings a sensor, ten chunks of a week: a reading every 2.8 hours.
    let readings = Readings { first_sensor: 1, sensors: 20, per_record: 10, step_ms: 10_080_000 };
    let forth = readings.records(0..1_200).map(|record| record.partition(0));
    let back: Vec<Record> = readings.records(0..1_200).map(|record| record.partition(1)).collect();
    topic.produce(forth).await;
    // Blocks of records from the end to the beginning: the writers come towards each other.
    topic.produce(back.rchunks(100).flatten().cloned().collect::<Vec<_>>()).await;
    let worker = worker(&database, &topic).env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "1000").start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 12_000, duplicates: 12_000, dead_lettered: 0 });
    assert_eq!(database.row_count().await, 12_000);
    assert_eq!(
        database.number("SELECT sum(value)::bigint FROM sensor_data").await,
        readings.sum_of_values(1_200)
    );
    assert_eq!(deadlocks(&database).await, 0, "the writers met in a circle");
    let log = worker.stderr();
    assert!(!log.contains("batch not written") && !log.contains("ERROR"), "writes were retried:\n{log}");
}

#[tokio::test]
async fn two_writers_over_the_same_keys_do_not_deadlock() {
    two_writers_over_the_same_keys("ignore").await;
}

#[tokio::test]
async fn two_writers_overwriting_the_same_keys_do_not_deadlock() {
    two_writers_over_the_same_keys("overwrite").await;
}
