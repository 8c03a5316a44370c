//! A topic that is recreated while a worker has records of the old one in hand.

use testbed::{Gate, comes_to, eventually};

use crate::{PATIENCE, Site, reading};

/// A batch that waits for the database outlives the membership it was read in. Written under the new topic's id, it would
/// pass for that topic's first records, and they would never be read.
#[tokio::test]
async fn a_batch_of_the_old_topic_is_not_taken_for_one_of_the_new() {
    let site = Site::new(1).await;
    let (before, rest) = site.database.url.split_once('@').expect("a URL with a role");
    let (server, name) = rest.split_once('/').expect("a URL with a database");
    let gate = Gate::to(server);
    let worker = site
        .role("worker --consumers 1")
        .env("METRICS_ADDR", &site.operations.to_string())
        .env("DATABASE_URL", &format!("{before}@{}/{name}", gate.address))
        .start();
    comes_to("a start", PATIENCE, vec![0], async || site.database.next_offsets().await).await;

    gate.close();
    site.topic.produce((0..5).map(reading)).await;
    eventually(PATIENCE, async || worker.stderr().contains("batch not written")).await;
    site.topic.delete().await;
    eventually(PATIENCE, async || site.topic.try_ensure().await).await;
    site.topic.produce((40..52).map(reading)).await;
    eventually(PATIENCE, async || worker.stderr().contains("left the group")).await;
    site.done("offsets accept-topic").await;
    assert_eq!(site.database.next_offsets().await, [0]);
    gate.open();

    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let of_the_new = "SELECT count(*) FROM sensor_data WHERE time >= '2024-01-01 00:00:40+00'";
    assert_eq!(site.database.number(of_the_new).await, 12);
}
