//! Partitions that have been read to their ends, and what comes after that.

use std::time::{Duration, Instant};

use testbed::{Tally, TestDatabase, TestTopic, comes_to, eventually, free_address};

use crate::{PATIENCE, reading, worker};

/// Rounds in which a member comes and goes while nothing is to be read.
const ROUNDS: i64 = 4;

#[tokio::test]
async fn a_rebalance_at_the_end_of_the_log_skips_nothing() {
    const PARTITIONS: i64 = 4;
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(PARTITIONS as i32).await);
    database.add_sensors(1).await;
    let mut sent = 0;
    let mut one_for_each = async || {
        let records = (0..PARTITIONS).map(move |n| reading(1, 1.0, sent + n).partition(n as i32));
        topic.produce(records).await;
        sent += PARTITIONS;
        database.stores_all_of(&topic, PATIENCE).await;
        assert_eq!(database.tally().await, Tally { stored: sent, duplicates: 0, dead_lettered: 0 });
    };
    let _stays = worker(&database, &topic).start();
    one_for_each().await;
    for _ in 0..ROUNDS {
        let mut comes_and_goes = worker(&database, &topic).start();
        let has_joined =
            async || comes_and_goes.stderr().contains("partitions assigned at their stored offsets");
        eventually(PATIENCE, has_joined).await;
        one_for_each().await;
        comes_and_goes.terminate();
        comes_and_goes.ended(PATIENCE).await;
        comes_to("members", PATIENCE, 2, async || topic.group_member_count().await).await;
        one_for_each().await;
    }
    assert_eq!(database.row_count().await, PARTITIONS * (1 + 2 * ROUNDS));
}

#[tokio::test]
async fn each_record_after_a_pause_is_stored() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let _worker = worker(&database, &topic).env("CONSUMERS", "1").start();
    for n in 0..20 {
        topic.produce([reading(1, 1.0, n)]).await;
        // By then the end was reached, and told.
        database.stores_all_of(&topic, PATIENCE).await;
    }
    assert_eq!(database.tally().await, Tally { stored: 20, duplicates: 0, dead_lettered: 0 });
}

#[tokio::test]
async fn control_records_and_what_was_aborted_are_passed() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let _worker = worker(&database, &topic).env("CONSUMERS", "1").start();
    topic.produce_in_transaction((0..5).map(|n| reading(1, 1.0, n)), true).await;
    database.stores_all_of(&topic, PATIENCE).await;
    topic.produce_in_transaction((5..10).map(|n| reading(1, 1.0, n)), false).await;
    database.stores_all_of(&topic, PATIENCE).await;
    topic.produce([reading(1, 1.0, 10)]).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 6, duplicates: 0, dead_lettered: 0 });
}

#[tokio::test]
async fn what_an_open_transaction_has_written_is_no_lag() {
    /// Longer than between two questions for the ends of the logs.
    const WATCHED: Duration = Duration::from_secs(7);
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let address = free_address().to_string();
    let _worker = worker(&database, &topic).env("CONSUMERS", "1").env("METRICS_ADDR", &address).start();
    topic.produce((0..5).map(|n| reading(1, 1.0, n))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    let lag = async || {
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.expect("it answers");
        let metrics = metrics.text().await.expect("it is text");
        let line = metrics.lines().find(|line| line.starts_with("sensorpipe_lag_records{"));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|lag| lag.parse::<f64>().ok())
    };
    comes_to("lag", PATIENCE, Some(0.0), lag).await;
    let transaction = topic.open_transaction((5..10).map(|n| reading(1, 1.0, n))).await;
    let started = Instant::now();
    // That something does not come can only be watched for a while.
    while started.elapsed() < WATCHED {
        assert_eq!(lag().await, Some(0.0), "after {:?}", started.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    transaction.commit().await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 10, duplicates: 0, dead_lettered: 0 });
}
