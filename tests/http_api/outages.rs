use std::time::{Duration, Instant};

use testbed::{TestDatabase, TestTopic, config, eventually};

use crate::site::{PATIENCE, Server};

/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:1";

fn no_database() -> sensorpipe::config::DatabaseConfig {
    config(&["--database-url", &format!("postgres://nobody@{CLOSED}/nothing")])
}

#[tokio::test]
async fn without_kafka_a_reading_is_503_within_the_bound() {
    let database = TestDatabase::create().await;
    database.add_sensors(1).await;
    let kafka = config(&["--kafka-brokers", CLOSED]);
    let server = Server::start(&database.config(), &kafka, &["--publish-timeout", "500ms"]).await;
    for (path, body) in [
        ("/sensor_data/1", r#"{"value":1}"#),
        ("/sensor_data/1", r#"{"data":[{"value":1},{"value":2}]}"#),
        ("/readings", r#"[{"sensor_id":1,"value":1}]"#),
    ] {
        let started = Instant::now();
        let answer = server.post(path, body).await.expect(503);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert_eq!(answer.header("retry-after"), "1");
        // Whether it was known already that nobody is there, nobody can say.
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("may or may not") || detail.contains("Nothing was stored"), "{detail}");
    }
    eventually(PATIENCE, async || {
        server.get("/readyz").await.json()["components"]["postgres"]["state"] == "up"
    })
    .await;
    let readiness = server.get("/readyz").await.expect(503).json();
    assert_eq!(readiness["components"]["kafka"]["state"], "down");
    server.get("/healthz").await.expect(200);
    // What does not need Kafka goes on.
    server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(200);
    server.get("/daily_avg/1").await.expect(404);
    server.stopped().await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_said() {
    let database = TestDatabase::create().await;
    let topic = TestTopic::name_only(1);
    let server = Server::start(&database.config(), &topic.config(), &[]).await;
    eventually(PATIENCE, async || {
        let readiness = server.get("/readyz").await.expect(503).json();
        readiness["components"]["kafka"]["reason"].as_str().is_some_and(|reason| reason.contains(&topic.name))
    })
    .await;
}

#[tokio::test]
async fn without_postgres_ingestion_goes_on_for_known_sensors() {
    let topic = TestTopic::create(1).await;
    let server = Server::start(&no_database(), &topic.config(), &[]).await;
    server.known_sensors.insert(1);
    server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200);
    for (method, path) in [("post", "/sensor_data/2"), ("post", "/sensors"), ("get", "/daily_avg/1")] {
        let started = Instant::now();
        let answer = match method {
            "post" => server.post(path, r#"{"value":1,"sensor_type":"t"}"#).await,
            _ => server.get(path).await,
        };
        let answer = answer.expect(503);
        assert!(started.elapsed() < Duration::from_secs(5), "{path}: {:?}", started.elapsed());
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
    eventually(PATIENCE, async || server.health.report().ready).await;
    let readiness = server.get("/readyz").await.expect(200).json();
    assert_eq!(readiness["components"]["postgres"]["state"], "down");
    server.stopped().await;
}
