//! Where a worker starts on a topic that its database has never seen.

use testbed::{Tally, TestDatabase, TestTopic, comes_to};

use crate::{PATIENCE, reading, worker};

#[tokio::test]
async fn latest_holds_for_every_partition_and_only_the_first_time() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(3).await);
    database.add_sensors(1).await;
    let second_of = |partition: i32, n: i64| i64::from(partition) * 1_000 + n;
    let some = |partition: i32, first: i64, count: i64| {
        (first..first + count).map(move |n| reading(1, 1.0, second_of(partition, n)).partition(partition))
    };
    topic.produce(some(0, 0, 10).chain(some(1, 0, 5))).await;

    let mut first = worker(&database, &topic).env("START", "latest").start();
    comes_to("the ends of the log", PATIENCE, vec![10, 5, 0], async || database.next_offsets().await).await;
    assert_eq!(
        database.number("SELECT count(*) FROM ingest_offsets WHERE first_offset = next_offset").await,
        3
    );
    first.terminate();
    assert!(first.ended(PATIENCE).await.success(), "{}", first.stderr());

    // What comes while nobody reads is read later, although it is not the latest by then.
    topic.produce(some(0, 10, 7).chain(some(1, 5, 7)).chain(some(2, 0, 7))).await;
    let _second = worker(&database, &topic).env("START", "latest").start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 21, duplicates: 0, dead_lettered: 0 });
    assert_eq!(
        database.number("SELECT min(extract(epoch FROM time))::bigint FROM sensor_data").await,
        1_704_067_210
    );
}

#[tokio::test]
async fn the_beginning_is_read_whatever_the_group_has_committed_to_kafka() {
    let topic = TestTopic::create(2).await;
    topic.produce((0..50).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    for _ in 0..2 {
        // A database that is empty has nothing stored, also where the group went to the end before.
        let database = TestDatabase::create().await;
        database.add_sensors(1).await;
        let mut worker = worker(&database, &topic).start();
        database.stores_all_of(&topic, PATIENCE).await;
        assert_eq!(database.tally().await, Tally { stored: 50, duplicates: 0, dead_lettered: 0 });
        worker.terminate();
        assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
        assert_eq!(topic.committed_by_group().await, [25, 25]);
    }
}
