//! A log that was cut and has grown again, past what is stored: the ends of it look as they should.

use testbed::{Service, Tally, TestDatabase, TestServers, TestTopic, eventually, free_address};

use crate::{PATIENCE, Site, spread};

/// A site whose Kafka is its own, with two partitions of 20 records, all of them stored.
async fn stored_site() -> (TestServers, Site) {
    let servers = TestServers::start_kafka(env!("CARGO_TARGET_TMPDIR")).await;
    let (database, topic) = (TestDatabase::create().await, TestTopic::create_at(&servers.brokers, 2).await);
    database.add_sensors(1).await;
    let site = Site { database, topic, operations: free_address() };
    for reading in 0..40 {
        // A batch of the log for each, so that it can be cut anywhere.
        site.topic.produce(spread(reading..reading + 1)).await;
    }
    (servers, site)
}

/// Loses the last ten records of partition 1, and has ten more than those written to each partition.
async fn cut_and_regrow(servers: &TestServers, site: &Site) {
    servers.kill(Service::Kafka).await;
    servers.cut_log(&site.topic.name, 1, 10);
    servers.up(Service::Kafka).await;
    assert_eq!(site.topic.watermarks().await, [(0, 20), (0, 10)]);
    site.topic.produce(spread(40..80)).await;
    assert_eq!(site.topic.watermarks().await, [(0, 40), (0, 30)]);
}

/// How often logs were compared with this outcome: once for each assignment, and partitions may be shared out again.
async fn checks(site: &Site, outcome: &str) -> f64 {
    let metrics = site.get("/metrics").await;
    let series = format!("sensorpipe_log_checks_total{{outcome=\"{outcome}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

async fn stops(site: &Site) {
    let mut worker = site.worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    worker.terminate();
    assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
}

#[tokio::test]
async fn a_log_that_was_cut_and_has_grown_again_is_stalled_until_an_operator_decides() {
    let (servers, site) = stored_site().await;
    stops(&site).await;
    cut_and_regrow(&servers, &site).await;
    // Nobody has read it yet.
    assert_eq!(site.verdicts().await, ["ok", "log_diverged"]);

    let mut worker = site.worker();
    site.is_named(&worker, "log_diverged", 1).await;
    eventually(PATIENCE, async || site.database.next_offsets().await == [40, 20]).await;
    assert!(worker.stderr().contains("sensorpipe offsets accept-truncation"), "{}", worker.stderr());
    assert!(checks(&site, "diverged").await >= 1.0);
    // Whoever comes next finds it as well.
    worker.terminate();
    assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    let worker = site.worker();
    site.is_named(&worker, "log_diverged", 1).await;
    let refused = site.refused("replay --from earliest --yes").await;
    assert!(refused.contains("log_diverged"), "{refused}");

    let shown = site.done("offsets accept-truncation --partition 1 --dry-run").await;
    assert!(
        shown.contains("partition 1: 20 -> 0, at the start of the log: 30 offsets are read again"),
        "{shown}"
    );
    site.done("offsets accept-truncation --partition 1").await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    site.is_clear().await;
    assert_eq!(site.verdicts().await, ["ok", "ok"]);
    // What was cut off was stored before; what came in its place is there now; the rest is there once.
    assert_eq!(site.database.row_count().await, 80);
    assert_eq!(site.database.tally().await, Tally { stored: 80, duplicates: 10, dead_lettered: 0 });
}

#[tokio::test]
async fn what_was_found_of_a_log_outlives_the_record_that_told() {
    let (servers, site) = stored_site().await;
    stops(&site).await;
    cut_and_regrow(&servers, &site).await;
    let mut worker = site.worker();
    site.is_named(&worker, "log_diverged", 1).await;
    let kept = "SELECT count(*) FROM ingest_offsets WHERE gap = 'log_diverged' AND gap_offset = 20";
    eventually(PATIENCE, async || site.database.number(kept).await == 1).await;
    worker.terminate();
    assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    // The log begins at the stored offset now.
    site.topic.delete_before(&[(1, 20)]).await;
    let worker = site.worker();
    site.is_named(&worker, "log_diverged", 1).await;
    assert_eq!(site.verdicts().await, ["ok", "log_diverged"]);
    site.done("offsets accept-truncation --partition 1").await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    site.is_clear().await;
}

/// It has read nothing since it was assigned its partitions, and does not notice that its broker was away.
#[tokio::test]
async fn an_idle_worker_that_was_frozen_meanwhile_finds_out() {
    let (servers, site) = stored_site().await;
    stops(&site).await;
    let worker = site.worker();
    eventually(PATIENCE, async || worker.stderr().contains("partitions assigned")).await;
    eventually(PATIENCE, async || checks(&site, "same").await >= 2.0).await;
    worker.freeze();
    cut_and_regrow(&servers, &site).await;
    worker.thaw();
    site.is_named(&worker, "log_diverged", 1).await;
    eventually(PATIENCE, async || site.database.next_offsets().await == [40, 20]).await;
    assert_eq!(site.database.row_count().await, 60);
}

#[tokio::test]
async fn a_record_that_has_expired_tells_nothing_and_holds_up_nothing() {
    let site = Site::new(2).await;
    site.topic.produce(spread(0..40)).await;
    stops(&site).await;
    site.topic.delete_before(&[(0, 20)]).await;
    site.topic.produce(spread(40..80)).await;
    let worker = site.worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    for outcome in ["unverifiable", "same"] {
        assert!(checks(&site, outcome).await >= 1.0, "{outcome}: {}", worker.stderr());
    }
    assert_eq!(site.database.row_count().await, 80);
}
