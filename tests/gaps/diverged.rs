//! A log that was cut and has grown again, past what is stored: the ends of it look as they should.

use serde_json::Value;
use testbed::{Record, Service, Tally, TestDatabase, TestServers, TestTopic, eventually, free_address};

use crate::{PATIENCE, Ran, Site, spread};

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

/// What an audit came to: its exit code is 0, and the kinds of its differences and notes.
async fn audited(site: &Site) -> (bool, Vec<String>, Vec<String>) {
    let Ran { is_success, stdout, stderr } = site.run("audit --format json").await;
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let kinds = |what: &str| {
        let partitions = report["partitions"].as_array().expect("a list").iter();
        let remarks = partitions.chain([&report]).flat_map(|part| part[what].as_array().expect("a list"));
        remarks.map(|remark| remark["kind"].as_str().expect("a name").to_owned()).collect()
    };
    (is_success, kinds("differences"), kinds("notes"))
}

#[tokio::test]
async fn what_was_cut_off_a_log_is_no_difference_of_its_audits_and_hides_none() {
    let (servers, site) = stored_site().await;
    let with_value = |second: i64, value: f64| {
        let timestamp = 1_704_067_200 + second;
        format!(r#"{{"sensor_id":1,"value":{value},"timestamp":{timestamp}}}"#)
    };
    let part =
        |sensor_id: i32| format!(r#"[{{"sensor_id":{sensor_id},"value":1}},{{"sensor_id":1,"value":1}}]"#);
    let first =
        ["no JSON, kept".to_owned(), "no JSON, cut".to_owned(), "no JSON either".to_owned(), part(99)];
    let then = [part(1), "no JSON, new".to_owned(), with_value(500, 1.0), with_value(600, 2.0)];
    let produce = async |values: Vec<String>| {
        for value in values {
            site.topic.produce([Record::new(value).partition(1)]).await;
        }
    };
    produce([&first[..], &[with_value(600, 1.0)]].concat()).await;
    stops(&site).await;
    assert_eq!(audited(&site).await, (true, vec![], vec![]));

    servers.kill(Service::Kafka).await;
    servers.cut_log(&site.topic.name, 1, 21);
    servers.up(Service::Kafka).await;
    produce([&then[..], &[with_value(700, 1.0), with_value(800, 1.0)]].concat()).await;
    assert_eq!(site.topic.watermarks().await, [(0, 20), (0, 27)]);
    let worker = site.worker();
    site.is_named(&worker, "log_diverged", 1).await;
    let told = site.done("offsets accept-truncation --partition 1").await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;

    let (is_clean, differences, notes) = audited(&site).await;
    assert_eq!((is_clean, differences), (true, vec![]));
    // Those of records that are gone are there beside those of the records in their place.
    let letters = r#"SELECT count(*) FROM dead_letters WHERE partition = 1 AND "offset" BETWEEN 20 AND 23"#;
    assert_eq!(site.database.number(letters).await, 5);
    let new = "SELECT count(*) FROM dead_letters WHERE payload = 'no JSON, new'";
    assert_eq!(site.database.number(new).await, 1);
    assert_eq!(notes, ["other_values", "log_cut"]);
    assert!(told.contains("cut at offset 21: 3 dead letters"), "{told}");

    // What is discarded of these explains nothing that the log has.
    let gone = "SELECT max(id) FROM dead_letters WHERE topic_id LIKE '%/cut/%'";
    site.done(&format!("dead-letters discard {} --yes", site.database.number(gone).await)).await;
    assert_eq!(audited(&site).await.1, [] as [&str; 0]);
    site.database.execute("DELETE FROM sensor_data WHERE time = '2024-01-01T00:08:20Z'").await;
    let (is_clean, differences, _) = audited(&site).await;
    assert_eq!((is_clean, differences), (false, vec!["unaccounted".to_owned(), "rows_missing".to_owned()]));
    site.database.execute("DELETE FROM dead_letters WHERE payload = 'no JSON, new'").await;
    let (_, differences, _) = audited(&site).await;
    assert_eq!(differences, ["unaccounted", "letters_missing", "rows_missing"]);
}
