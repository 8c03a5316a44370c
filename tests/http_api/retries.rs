//! A client that sends its readings again: duplicates, never rows.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use testbed::{Role, Service, Tally, TestDatabase, TestServers, TestTopic, config, eventually};

use crate::site::{PATIENCE, Server, Site};

#[tokio::test]
async fn the_same_readings_again_are_duplicates_by_every_way_in() {
    let site = Site::start().await;
    site.database.add_sensors(5).await;
    let _worker = site.worker();
    let readings: Vec<Value> = (0..1_000)
        .map(|n| json!({"sensor_id": n % 5 + 1, "value": n, "timestamp": 1_728_743_340 + n}))
        .collect();
    let body = json!(readings).to_string();
    for _ in 0..3 {
        let answer = site.server.send("/readings", &[("prefer", "wait=15")], body.clone()).await.expect(202);
        assert_eq!(answer.json()["state"], "stored");
    }
    let of_one: Vec<&Value> = readings.iter().filter(|reading| reading["sensor_id"] == 1).collect();
    let body = json!({"data": of_one}).to_string();
    site.server.send("/sensor_data/1", &[("prefer", "wait=15")], body).await.expect(200);
    assert_eq!(site.database.row_count().await, 1_000);
    let expected = Tally { stored: 1_000, duplicates: 2_200, dead_lettered: 0 };
    assert_eq!(site.database.tally().await, expected);
}

/// Kafka goes away and comes back while a client sends on, each reading until it is accepted.
#[tokio::test]
async fn without_kafka_clients_are_told_at_once_and_what_they_send_again_is_stored_once() {
    let servers = TestServers::start(env!("CARGO_TARGET_TMPDIR")).await;
    let topic = TestTopic::create_at(&servers.brokers, 3).await;
    let database = TestDatabase::create().await;
    database.add_sensors(1).await;
    let kafka = config(&["--kafka-brokers", &servers.brokers, "--kafka-topic", &topic.name]);
    let server = Arc::new(Server::start(&database.config(), &kafka, &["--test-publish-timeout", "2s"]).await);
    let is_up = async || server.health.report().components["kafka"] == sensorpipe::health::State::Up;
    eventually(PATIENCE, is_up).await;

    let enough = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn({
        let (server, enough) = (Arc::clone(&server), Arc::clone(&enough));
        async move {
            let (mut sent, mut refused) = (0, 0);
            while !enough.load(Ordering::Relaxed) {
                let body = format!(r#"{{"value":{sent},"timestamp":{}}}"#, 1_728_743_340 + sent);
                match server.post("/sensor_data/1", body).await.status.as_u16() {
                    200 => sent += 1,
                    503 => refused += 1,
                    other => panic!("{other}"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            (sent, refused)
        }
    });
    servers.down(Service::Kafka).await;
    eventually(PATIENCE, async || !is_up().await).await;
    for (path, body) in
        [("/sensor_data/1", r#"{"value":1}"#), ("/readings", r#"[{"sensor_id":1,"value":1}]"#)]
    {
        let started = std::time::Instant::now();
        let answer = server.post(path, body).await.expect(503);
        assert!(started.elapsed().as_millis() < 500, "{:?}", started.elapsed());
        assert_eq!(answer.header("retry-after"), "1");
        assert!(
            answer.json()["detail"].as_str().unwrap().ends_with("Nothing was stored."),
            "{}",
            answer.text
        );
    }
    servers.up(Service::Kafka).await;
    // By itself, and soon.
    eventually(PATIENCE, async || server.post("/sensor_data/1", r#"{"value":"nan"}"#).await.status == 422)
        .await;
    eventually(PATIENCE, is_up).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    enough.store(true, Ordering::Relaxed);
    let (sent, refused) = sending.await.unwrap();
    assert!(sent > 0 && refused > 0, "{sent} accepted, {refused} refused");

    let _worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&database)
        .topic(&topic)
        .start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.row_count().await, sent, "each reading once, however often it was sent");
}
