//! Statistics and readings have connections of their own, which may lead elsewhere.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use testbed::{TestDatabase, TestTopic, config, eventually};

use crate::site::{PATIENCE, Server};

const READS: [&str; 6] = [
    "/sensors/1/stats",
    "/sensors/stats?ids=1",
    "/sensors/1/readings",
    "/sensors/1/readings?limit=1",
    "/sensors/1/latest",
    "/sensors/latest",
];

#[tokio::test]
async fn a_replica_answers_and_the_primary_writes() {
    let (primary, replica, topic) =
        tokio::join!(TestDatabase::create(), TestDatabase::create(), TestTopic::create(1));
    primary.add_sensors(1).await;
    replica.add_sensors(1).await;
    replica.execute("INSERT INTO sensor_data (sensor_id, value, time) VALUES (1, 42, now())").await;
    let flags = ["--read-database-url", replica.url.as_str()];
    let server = Server::start(&primary.config(), &topic.config(), &flags).await;
    for path in READS {
        let answer = server.get(path).await.expect(200);
        assert!(answer.text.contains("42.0"), "{path}: {}", answer.text);
    }
    // The primary has no readings of it.
    server.get("/daily_avg/1").await.expect(404);
    // Made on the primary, and not on the replica yet: it has no readings, but it is a sensor.
    let answer = server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(200);
    assert_eq!(answer.json()["sensor_id"], 2);
    assert_eq!(primary.number("SELECT count(*) FROM sensors").await, 2);
    let answer = server.get("/sensors/2/readings").await.expect(200).json();
    assert_eq!(answer, json!({"sensor_id": 2, "data": [], "next": null}));
    server.get("/sensors/3/readings").await.expect(404);
}

#[tokio::test]
async fn without_the_replica_everything_else_goes_on() {
    let (primary, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    primary.add_sensors(1).await;
    let flags = ["--read-database-url", "postgres://nobody@127.0.0.1:1/nothing"];
    let server = Server::start(&primary.config(), &topic.config(), &flags).await;
    for path in READS {
        let answer = server.get(path).await.expect(503);
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
    server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(200);
    server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200);
    server.get("/daily_avg/1").await.expect(404);
}

#[tokio::test]
async fn queries_that_hold_every_connection_are_no_outage_and_leave_room_to_writes() {
    /// Postgres is asked every five seconds.
    const LONGER_THAN_TWO_PROBES: Duration = Duration::from_secs(12);
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let server = Server::start(&database.config(), &topic.config(), &[]).await;
    let postgres = async || server.get("/readyz").await.json()["components"]["postgres"].clone();
    eventually(PATIENCE, async || postgres().await["state"] == "up").await;
    let locked = database.hold("LOCK TABLE sensor_data IN ACCESS EXCLUSIVE MODE").await;
    let paths = ["/daily_avg/1", "/sensors/1/readings"];
    let queries = join_all((0..60).map(|n| server.get(paths[n % paths.len()])));
    let others = async {
        eventually(PATIENCE, async || database.waiting_for_locks().await >= 15).await;
        let started = Instant::now();
        while started.elapsed() < LONGER_THAN_TWO_PROBES {
            assert_eq!(postgres().await["state"], "up");
            server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(200);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        drop(locked);
    };
    tokio::join!(queries, others);
}

/// What a request finds out it keeps for the next one, over the connections that it reads from.
#[tokio::test]
async fn keeping_days_leaves_room_to_writes() {
    const SENSORS: i32 = 12;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(SENSORS).await;
    database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT sensor_id, 1, timestamptz '2026-01-01T12:00Z' + sensor_id * interval '1 day' FROM sensors",
        )
        .await;
    let server = Server::start(&database.config(), &topic.config(), &[]).await;
    let locked = database.hold("LOCK TABLE daily_stats IN EXCLUSIVE MODE").await;
    let paths: Vec<String> = (1..=SENSORS).map(|sensor| format!("/daily_avg/{sensor}")).collect();
    let queries = join_all(paths.iter().map(|path| server.get(path)));
    let others = async {
        eventually(PATIENCE, async || database.waiting_for_locks().await >= 5).await;
        for _ in 0..5 {
            server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(200);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(database.waiting_for_locks().await, 5, "half of the connections");
        drop(locked);
    };
    tokio::join!(queries, others);
}

#[tokio::test]
async fn queries_that_take_too_long_end_and_take_nothing_from_others() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let bounded =
        config(&["--database-url", &database.url, "--statement-timeout", "1s", "--database-pool-size", "2"]);
    let server = Server::start(&bounded, &topic.config(), &[]).await;
    let locked = database.hold("LOCK TABLE sensor_data IN ACCESS EXCLUSIVE MODE").await;
    let queries = join_all((0..12).map(|n| server.get(READS[n % READS.len()])));
    let others = async {
        // Two connections are held by queries now; the rest of the queries wait for one.
        while database.waiting_for_locks().await < 2 {}
        for _ in 0..20 {
            server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(200);
        }
        assert_eq!(database.waiting_for_locks().await, 2);
    };
    let (answers, ()) = tokio::join!(queries, others);
    let mut too_long = 0;
    for answer in answers {
        let detail = answer.expect(503).json()["detail"].as_str().unwrap().to_owned();
        too_long += i32::from(detail.contains("took too long"));
    }
    assert!(too_long >= 2, "{too_long}");
    drop(locked);
    server.get("/sensors/1/readings").await.expect(200);
}
