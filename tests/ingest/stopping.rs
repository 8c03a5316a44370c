//! SIGTERM: what was consumed is committed, within a bound.

use std::time::{Duration, Instant};

use testbed::{Readings, Tally, TestDatabase, TestTopic, eventually};

use crate::{PATIENCE, worker};

#[tokio::test]
async fn a_worker_in_the_middle_of_it_drains_and_kafka_knows_how_far_it_came() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(4).await);
    database.add_sensors(100).await;
    let readings = Readings { first_sensor: 1, sensors: 100, per_record: 100, step_ms: 100 };
    topic.produce(readings.records(0..3_000)).await;
    // Small batches, so that there is a middle.
    let slow = || worker(&database, &topic).env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "2000");
    let mut worker = slow().start();
    eventually(PATIENCE, async || database.tally().await.stored > 0).await;
    worker.terminate();
    let status = worker.ended(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{}", worker.stderr());
    let tally = database.tally().await;
    println!("stored when it stopped: {}", tally.stored);
    assert_eq!(tally, Tally { stored: database.row_count().await, duplicates: 0, dead_lettered: 0 });
    assert!(tally.stored < 300_000, "it was not in the middle");
    assert_eq!(topic.committed_by_group().await, database.next_offsets().await, "Kafka was told otherwise");

    let mut worker = slow().start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 300_000, duplicates: 0, dead_lettered: 0 });
    worker.terminate();
    assert_eq!(worker.ended(PATIENCE).await.code(), Some(0), "{}", worker.stderr());
    assert_eq!(topic.committed_by_group().await, database.next_offsets().await);
}

#[tokio::test]
async fn what_was_consumed_is_committed_before_a_worker_stops() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    topic.produce(Readings { first_sensor: 1, sensors: 1, per_record: 1, step_ms: 1 }.records(0..500)).await;
    let mut worker = worker(&database, &topic).env("CONSUMERS", "1").start();
    database.stores_all_of(&topic, PATIENCE).await;
    // Somebody else's lock holds the next batch up until after the signal.
    let lock = database.hold("SELECT FROM ingest_offsets FOR UPDATE").await;
    topic
        .produce(Readings { first_sensor: 1, sensors: 1, per_record: 1, step_ms: 1 }.records(500..501))
        .await;
    eventually(PATIENCE, async || database.waiting_for_locks().await == 1).await;
    worker.terminate();
    eventually(PATIENCE, async || worker.stderr().contains("draining what is in flight")).await;
    assert_eq!(worker.exit_status(), None, "it did not wait for the batch in flight");
    drop(lock);
    assert_eq!(worker.ended(PATIENCE).await.code(), Some(0), "{}", worker.stderr());
    assert_eq!(database.tally().await, Tally { stored: 501, duplicates: 0, dead_lettered: 0 });
    assert_eq!(topic.committed_by_group().await, database.next_offsets().await);
}

#[tokio::test]
async fn draining_has_an_end() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(10).await;
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 1, step_ms: 1 };
    topic.produce(readings.records(0..500)).await;
    let quick = || worker(&database, &topic).env("DRAIN_TIMEOUT", "2s");
    let mut worker = quick().start();
    database.stores_all_of(&topic, PATIENCE).await;
    let lock = database.hold("SELECT FROM ingest_offsets FOR UPDATE").await;
    topic.produce(readings.records(500..600)).await;
    eventually(PATIENCE, async || database.waiting_for_locks().await > 0).await;
    let asked = Instant::now();
    worker.terminate();
    assert_eq!(worker.ended(Duration::from_secs(15)).await.code(), Some(0), "{}", worker.stderr());
    println!("stopped without its batch after {:?}", asked.elapsed());
    drop(lock);

    let _worker = quick().start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 600, duplicates: 0, dead_lettered: 0 });
}
