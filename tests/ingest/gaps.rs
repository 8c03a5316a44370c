//! A log and a stored offset that contradict each other: the partition is stalled and says so.

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use testbed::{Role, Sensorpipe, Tally, TestDatabase, TestTopic, eventually};

use crate::{PATIENCE, reading, worker};

/// A database and a topic of two partitions, each with 20 readings that are stored.
async fn stored_once() -> (TestDatabase, TestTopic) {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(1).await;
    topic.produce((0..40).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    let mut worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    worker.terminate();
    assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    (database, topic)
}

async fn says(worker: &Sensorpipe, gap: &str, partitions: &[i32]) {
    let names = |partition: &i32| {
        let (gap, partition) = (format!("gap=\"{gap}\""), format!("kafka.partition={partition} "));
        move |line: &str| line.contains("ERROR") && line.contains(&gap) && line.contains(&partition)
    };
    eventually(PATIENCE, async || {
        let log = worker.stderr();
        partitions.iter().all(|partition| log.lines().any(names(partition)))
    })
    .await;
}

const STORED: Tally = Tally { stored: 40, duplicates: 0, dead_lettered: 0 };

#[tokio::test]
async fn a_topic_made_anew_under_the_same_name_is_not_read() {
    let (database, topic) = stored_once().await;
    topic.delete().await;
    eventually(PATIENCE, async || {
        topic.ensure().await;
        topic.watermarks().await == [(0, 0), (0, 0)]
    })
    .await;
    topic.produce((100..200).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    let worker = worker(&database, &topic).start();
    says(&worker, "topic_recreated", &[0, 1]).await;
    assert_eq!((database.tally().await, database.next_offsets().await), (STORED, vec![20, 20]));
}

#[tokio::test]
async fn a_topic_made_anew_under_a_running_worker_is_not_read() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(1).await;
    topic.produce((0..40).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    let mut worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, STORED);
    // It finds the new topic with more in it than it has stored: by the name alone it would read on in the middle.
    worker.freeze();
    topic.delete().await;
    // Until it is quite gone, the new one is refused.
    eventually(PATIENCE, async || topic.try_ensure().await).await;
    topic.produce((100..300).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    worker.thaw();
    says(&worker, "topic_recreated", &[0, 1]).await;
    worker.terminate();
    assert_eq!(worker.ended(PATIENCE).await.code(), Some(0), "{}", worker.stderr());

    // What was read before it was noticed is read again: nothing of the new topic is missed in the end.
    let accept = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["offsets", "accept-topic"]);
    let mut accept = accept.database(&database).topic(&topic).start();
    assert!(accept.ended(PATIENCE).await.success(), "{}", accept.stderr());
    let _second = crate::worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!((database.row_count().await, database.tally().await.stored), (240, 240));
}

#[tokio::test]
async fn an_offset_past_the_end_of_the_log_is_not_taken_for_its_end() {
    let (database, topic) = stored_once().await;
    database.execute("UPDATE ingest_offsets SET next_offset = 1000 WHERE partition = 1").await;
    let worker = worker(&database, &topic).start();
    says(&worker, "offset_past_end", &[1]).await;
    // The other partition goes on.
    topic.produce((100..120).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    eventually(PATIENCE, async || database.next_offsets().await == [30, 1_000]).await;
    assert_eq!(database.tally().await.stored, 50);
}

#[tokio::test]
async fn records_that_retention_took_unread_are_missed() {
    let (database, topic) = stored_once().await;
    topic.produce((100..140).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    topic.delete_before(&[(0, 25)]).await;
    let worker = worker(&database, &topic).start();
    says(&worker, "records_expired", &[0]).await;
    eventually(PATIENCE, async || database.next_offsets().await == [20, 40]).await;
    assert_eq!(database.tally().await.stored, 60);
}

#[tokio::test]
async fn a_compacted_topic_is_refused() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::name_only(1));
    let compacted =
        NewTopic::new(&topic.name, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    topic.admin().create_topics([&compacted], &AdminOptions::new()).await.expect("Kafka answers");
    let mut worker = worker(&database, &topic).start();
    let status = worker.ended(PATIENCE).await;
    let log = worker.stderr();
    assert!(!status.success(), "a compacted topic was taken:\n{log}");
    assert!(log.contains(&format!("topic {} is compacted", topic.name)), "not said clearly:\n{log}");
}
