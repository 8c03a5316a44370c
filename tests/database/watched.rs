//! Parts of a process that end unasked take the process with them, and what they held goes to others at once.
//!
//! What makes them panic is a time that no clock can hold: each is first used in the part that is meant.

use std::{net::TcpListener, time::Duration};

use testbed::{TestDatabase, TestTopic, eventually};

use crate::{PATIENCE, readings, role, worker};

/// Past the end of time.
const ABSURD: &str = "18446744073709551615s";

#[tokio::test]
async fn a_consumer_that_panics_leaves_its_group_and_ends_the_process() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(1).await;
    // The group would wait for so long for a member that is gone without a word.
    let session = ("KAFKA_CONFIG_session_timeout_ms", "45000");
    let mut first = role(&["worker", "--consumers", "1"])
        .database(&database)
        .topic(&topic)
        .env("DRAIN_TIMEOUT", ABSURD)
        .env(session.0, session.1)
        .start();
    topic.produce(readings(0..100)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    // Another one joins, so that partitions are asked back.
    let second = worker(&database, &topic).env(session.0, session.1).start();
    assert_eq!(first.ended(PATIENCE).await.code(), Some(1), "{}", first.stderr());
    let said = first.stderr();
    assert!(said.contains("Error: consumer-0 panicked: overflow"), "{said}");
    topic.produce(readings(100..200)).await;
    database.stores_all_of(&topic, Duration::from_secs(25)).await;
    assert_eq!(database.row_count().await, 200, "{}", second.stderr());
}

#[tokio::test]
async fn consumers_that_all_panic_are_no_success() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    let mut worker = worker(&database, &topic).env("DRAIN_TIMEOUT", ABSURD).start();
    let is_assigned = "partitions assigned at their stored offsets kafka.starts=[(";
    eventually(PATIENCE, async || worker.stderr().contains(is_assigned)).await;
    // A consumer's clock begins with it: within its first second, such a time is not past the end of it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    worker.terminate();
    assert_eq!(worker.ended(PATIENCE).await.code(), Some(1), "{}", worker.stderr());
}

#[tokio::test]
async fn a_question_that_panics_ends_the_process() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let mut worker = worker(&database, &topic).env("SENSORPIPE_TEST_ASSIGN_TIMEOUT", ABSURD).start();
    assert_eq!(worker.ended(PATIENCE).await.code(), Some(1), "{}", worker.stderr());
    assert!(worker.stderr().contains("reading the stored offsets panicked: overflow"), "{}", worker.stderr());
}

#[tokio::test]
async fn a_worker_whose_health_cannot_be_served_ends_and_says_why() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut worker = worker(&database, &topic).env("METRICS_ADDR", &address).start();
    assert_eq!(worker.ended(PATIENCE).await.code(), Some(1), "{}", worker.stderr());
    assert!(worker.stderr().contains("Error: metrics and health cannot be served"), "{}", worker.stderr());
}

#[tokio::test]
async fn rows_at_no_time_end_nothing() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time) VALUES (1, 1, 'infinity');
             INSERT INTO dead_letters (topic, partition, \"offset\", reason, detail, received_at)
             VALUES ('t', 0, 0, 'wrong_shape', '', '-infinity'), ('t', 0, 1, 'wrong_shape', '', 'infinity')",
        )
        .await;
    let mut worker = worker(&database, &topic)
        .env("SENSORPIPE_TEST_ROLLUP_INTERVAL", "100ms")
        .env("DEAD_LETTER_RETENTION", "off")
        .env("LOG_LEVEL", "sensorpipe=debug")
        .start();
    eventually(PATIENCE, async || worker.stderr().contains("days of sensors rolled up for charts")).await;
    assert_eq!(worker.exit_status(), None, "{}", worker.stderr());
}
