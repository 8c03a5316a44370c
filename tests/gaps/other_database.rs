//! Two databases and one consumer group: Kafka would give each of them a part of the readings.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use testbed::{Sensorpipe, TestDatabase, comes_to, eventually, free_address};

use crate::{PATIENCE, Site, reading};

/// How long the refused worker is watched.
const WATCHED: Duration = Duration::from_secs(6);

/// Another database for the topic and the group of a site.
struct Other {
    database: TestDatabase,
    operations: SocketAddr,
}

impl Other {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        database.add_sensors(1).await;
        Self { database, operations: free_address() }
    }

    fn worker(&self, site: &Site) -> Sensorpipe {
        let worker = site.role("worker --consumers 2").database(&self.database);
        worker.env("METRICS_ADDR", &self.operations.to_string()).start()
    }

    async fn health(&self) -> Value {
        health(self.operations).await
    }

    async fn listed(&self, site: &Site, format: &str) -> String {
        let words = format!("offsets list --format {format}");
        let mut process = site.role(&words).database(&self.database).start();
        assert!(process.ended(PATIENCE).await.success(), "{}", process.stderr());
        process.stdout()
    }
}

/// What `/readyz` answers; null where nobody serves it yet.
async fn health(operations: SocketAddr) -> Value {
    let Ok(answer) = reqwest::get(format!("http://{operations}/readyz")).await else { return Value::Null };
    answer.json().await.expect("health is JSON")
}

async fn id_of(database: &TestDatabase) -> String {
    sqlx::query_scalar("SELECT id::text FROM database_identity")
        .fetch_one(&database.pool)
        .await
        .expect("an id")
}

async fn readings_in(database: &TestDatabase) -> i64 {
    database.number("SELECT count(*) FROM sensor_data").await
}

/// The databases that have committed the partitions' offsets, by what `offsets list` says.
async fn committers(site: &Site) -> Vec<String> {
    let committer = |row: &Value| row["committed_by"].as_str().unwrap_or_default().to_owned();
    site.listed().await.iter().map(committer).collect()
}

fn lines<'l>(log: &'l str, level: &str, words: &str) -> Vec<&'l str> {
    log.lines().filter(|line| line.contains(level) && line.contains(words)).collect()
}

#[tokio::test]
async fn a_second_database_is_refused_by_name_until_the_first_one_has_left() {
    let (site, other) = (Site::new(4).await, Other::new().await);
    let (first_id, second_id) = (id_of(&site.database).await, id_of(&other.database).await);
    assert_ne!(first_id, second_id);
    let first = site.worker();
    eventually(PATIENCE, async || site.topic.group_member_count().await == 2).await;
    site.topic.produce((0..40).map(reading)).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    comes_to("who has committed", PATIENCE, vec![first_id.clone(); 4], async || committers(&site).await)
        .await;
    let second = other.worker(&site);
    eventually(PATIENCE, async || {
        let health = other.health().await;
        let group = &health["components"]["worker_group"];
        let reason = group["reason"].as_str().unwrap_or_default();
        group["state"] == "down" && reason.contains(&first_id) && reason.contains(&second_id)
    })
    .await;
    assert_eq!(other.health().await["ready"], false);
    let used = second.cpu_time();
    tokio::time::sleep(WATCHED).await;
    let used = second.cpu_time().saturating_sub(used);
    assert!(used < WATCHED / 10, "a worker that is refused used {used:?} in {WATCHED:?}");
    assert_eq!(lines(&second.stderr(), "ERROR", "gap=\"other_database\"").len(), 1, "{}", second.stderr());

    site.topic.produce((40..80).map(reading)).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!((readings_in(&site.database).await, readings_in(&other.database).await), (80, 0));
    let metrics = reqwest::get(format!("http://{}/metrics", other.operations)).await.expect("it serves them");
    let metrics = metrics.text().await.expect("they are text");
    let never_joined = "sensorpipe_rebalances_total{event=\"assigned\"} 0";
    assert!(metrics.contains(never_joined), "it was in the group: {}", second.stderr());
    assert_eq!(site.topic.group_member_count().await, 2);
    let list = other.listed(&site, "table").await;
    let named = format!("another database, {first_id}, committed the offsets of partitions 0, 1, 2, 3");
    assert!(list.contains(&format!("database {second_id}")) && list.contains(&named), "{list}");
    assert!(list.contains("its workers run"), "{list}");

    first.terminate();
    other.database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!(readings_in(&other.database).await, 80);
    eventually(PATIENCE, async || other.health().await["ready"] == true).await;
    assert_eq!(lines(&second.stderr(), "WARN", &format!("other={first_id}")).len(), 1, "{}", second.stderr());
    comes_to("who has committed", PATIENCE, vec![second_id; 4], async || committers(&site).await).await;
}

#[tokio::test]
async fn of_two_databases_whose_workers_start_at_once_one_stores_everything() {
    let (site, other) = (Site::new(4).await, Other::new().await);
    site.topic.produce((0..40).map(reading)).await;
    let _workers = (site.worker(), other.worker(&site));
    // Until they find out, each of them may have stored a part; the one that stays has it all.
    let mut first_stays = false;
    eventually(PATIENCE, async || {
        let ready = (health(site.operations).await["ready"] == true, other.health().await["ready"] == true);
        first_stays = ready.0;
        let stays = if first_stays { &site.database } else { &other.database };
        ready.0 != ready.1 && readings_in(stays).await == 40
    })
    .await;
    let (mut stays, mut leaves) = (&site.database, &other.database);
    if !first_stays {
        std::mem::swap(&mut stays, &mut leaves);
    }
    let before = readings_in(leaves).await;
    site.topic.produce((40..80).map(reading)).await;
    eventually(PATIENCE, async || readings_in(stays).await == 80).await;
    assert_eq!(readings_in(leaves).await, before);
}

#[tokio::test]
async fn a_database_that_was_made_anew_goes_on_with_its_group() {
    let site = Site::new(2).await;
    let before = id_of(&site.database).await;
    let worker = site.worker();
    site.topic.produce((0..20).map(reading)).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    comes_to("who has committed", PATIENCE, vec![before.clone(); 2], async || committers(&site).await).await;
    // As where it was dropped and migrated again.
    let emptied = "TRUNCATE sensor_data; DELETE FROM ingest_offsets; UPDATE database_identity SET id = gen_random_uuid()";
    site.database.execute(emptied).await;
    let after = id_of(&site.database).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    comes_to("who has committed", PATIENCE, vec![after; 2], async || committers(&site).await).await;
    assert_eq!(lines(&worker.stderr(), "WARN", &format!("other={before}")).len(), 1, "{}", worker.stderr());
}
