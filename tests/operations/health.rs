//! `/healthz` fails where a loop does not turn, and only there; `/readyz` where the work cannot be done.

use testbed::{TestDatabase, TestTopic, comes_to, eventually, free_address};

use crate::{PATIENCE, scrape, worker};

#[tokio::test]
async fn a_consumer_that_does_not_turn_is_not_alive() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let address = free_address().to_string();
    let worker = worker(&database, &topic, "2", &address).env("SENSORPIPE_TEST_STUCK_AFTER", "2s").start();
    scrape::is_ready(&address).await;
    let alive =
        async || scrape::get(&address, "/healthz").await.map(|(status, text)| (status.as_u16(), text));
    let well = Some((200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(alive().await, well);
    let frozen = worker.freeze_thread("consumer-1");
    let stuck = Some((503, r#"{"status":"stuck","stuck":["consumer-1"]}"#.to_owned()));
    comes_to("/healthz", PATIENCE, stuck, async || alive().await).await;
    drop(frozen);
    comes_to("/healthz", PATIENCE, well, async || alive().await).await;
}

#[tokio::test]
async fn a_worker_without_a_partition_is_ready() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let [first, second] = [(); 2].map(|()| free_address().to_string());
    let _first = worker(&database, &topic, "1", &first).start();
    let owns = async |address: &str| match scrape::get(address, "/metrics").await {
        Some((_, metrics)) => scrape::value(&metrics, "sensorpipe_assigned_partitions"),
        None => None,
    };
    eventually(PATIENCE, async || owns(&first).await == Some(1.0)).await;
    let _second = worker(&database, &topic, "1", &second).start();
    scrape::is_ready(&second).await;
    eventually(PATIENCE, async || topic.group_member_count().await == 2).await;
    scrape::is_ready(&second).await;
    // For a moment it may be nobody's, where it goes from one to the other.
    let both = async || owns(&first).await.unwrap_or(0.0) + owns(&second).await.unwrap_or(0.0);
    comes_to("partitions owned", PATIENCE, 1.0, both).await;
}
