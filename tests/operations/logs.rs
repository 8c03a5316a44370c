//! What a process says, and how much of it.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Gate, Readings, TestDatabase, TestTopic, eventually, free_address};

use crate::{PATIENCE, role, scrape, worker};

#[tokio::test]
async fn an_apis_log_level_changes_while_it_runs() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let address = free_address().to_string();
    let mut api = role(&["api"])
        .database(&database)
        .topic(&topic)
        .env("HTTP_ADDR", &address)
        .env("LOG_FORMAT", "json")
        .start();
    scrape::is_ready(&address).await;
    let client = reqwest::Client::new();
    let put = async |body: Value| {
        let answer =
            client.put(format!("http://{address}/log-level")).json(&body).send().await.expect("it answers");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, answer) = put(json!({"level": "loud"})).await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "level"])));
    assert!(!api.stderr().contains(r#""level":"TRACE""#));
    let changed = put(json!({"level": "trace"})).await;
    assert_eq!(changed, (200, json!({"level": "trace", "configured": "info"})));
    eventually(PATIENCE, async || {
        let _ = scrape::get(&address, "/sensors").await;
        api.stderr().contains(r#""level":"TRACE""#)
    })
    .await;
    assert_eq!(put(json!({"level": "error"})).await.0, 200);
    let (_, shown) = scrape::get(&address, "/log-level").await.expect("it answers");
    assert_eq!(shown, r#"{"level":"error","configured":"info"}"#);
    api.terminate();
    assert!(api.ended(PATIENCE).await.success());
    let log = api.stderr();
    assert!(!log.contains("draining what is in flight"), "quiet from then on:\n{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_signal_turns_a_workers_debug_lines_on_and_off() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let address = free_address().to_string();
    let worker = worker(&database, &topic, "1", &address).start();
    scrape::is_ready(&address).await;
    for level in ["info,sensorpipe=debug", "info"] {
        worker.toggle_debug();
        let said = format!("log level changed filter=\"{level}\"");
        eventually(PATIENCE, async || worker.stderr().contains(&said)).await;
    }
    let (status, _) = scrape::get(&address, "/log-level").await.expect("it answers");
    assert_eq!(status, 404, "a worker's HTTP has no keys");
}

/// Four consumers, load on each partition, and eight seconds without Postgres.
#[tokio::test]
async fn an_outage_is_said_once() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(4));
    database.add_sensors(40).await;
    let (before, rest) = database.url.split_once('@').expect("a URL with a role");
    let (server, name) = rest.split_once('/').expect("a URL with a database");
    let gate = Gate::to(server);
    let address = free_address().to_string();
    let worker = worker(&database, &topic, "4", &address)
        .env("DATABASE_URL", &format!("{before}@{}/{name}", gate.address))
        .start();
    let readings = Readings { first_sensor: 1, sensors: 40, per_record: 1, step_ms: 1 };
    topic.produce(readings.records(0..4_000)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    scrape::is_ready(&address).await;
    // Whoever is given a partition just then, or writes for the first time, has more to say.
    let assigned = "partitions assigned at their stored offsets kafka.starts=[(";
    eventually(PATIENCE, async || worker.stderr().matches(assigned).count() >= 4).await;
    let mut sent = 4_000;
    eventually(PATIENCE, async || {
        topic.produce(readings.records(sent..sent + 4_000)).await;
        sent += 4_000;
        database.stores_all_of(&topic, PATIENCE).await;
        worker.stderr().matches("foreign keys are checked").count() >= 4
    })
    .await;
    let known = worker.stderr().lines().count();
    gate.close();
    for _ in 1..=8 {
        topic.produce(readings.records(sent..sent + 4_000)).await;
        sent += 4_000;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (status, ready) = scrape::get(&address, "/readyz").await.expect("it answers");
    assert_eq!(status, 503, "{ready}");
    let (alive, _) = scrape::get(&address, "/healthz").await.expect("it answers");
    assert_eq!(alive, 200, "a restart would not mend it");
    gate.open();
    database.stores_all_of(&topic, PATIENCE).await;
    scrape::is_ready(&address).await;
    eventually(PATIENCE, async || worker.stderr().contains("batches are written again")).await;
    let log = worker.stderr();
    let said: Vec<&str> = log.lines().skip(known).collect();
    let count = |words: &str| said.iter().filter(|line| line.contains(words)).count();
    assert_eq!((count("batch not written"), count("batches are written again")), (1, 1), "{log}");
    assert_eq!((count("worker_postgres is down"), count("worker_postgres is up")), (1, 1), "{log}");
    let alarms = said.iter().filter(|line| line.contains(" WARN ") || line.contains("ERROR")).count();
    assert!(alarms <= 3, "{alarms} lines for one outage:\n{log}");
    assert!(said.len() <= 14, "{} lines for one outage:\n{log}", said.len());
}
