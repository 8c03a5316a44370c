//! A collector that is away, silent, or not asked for.

use std::time::{Duration, Instant};

use testbed::{TestDatabase, TestTopic, eventually, free_address};
use tokio::net::TcpListener;

use crate::{PATIENCE, collector::Collector, is_ready, post, role, threads};

const EXPORTER: &str = "OpenTelemetry";

#[tokio::test]
async fn a_collector_that_is_away_costs_a_line_of_the_log() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let (collector, address) = (free_address(), free_address());
    let mut api = role(&["api"], &database, &topic, collector)
        .env("HTTP_ADDR", &address.to_string())
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .start();
    is_ready(address).await;
    let lines = |log: &str, words: &str| log.lines().filter(|line| line.contains(words)).count();
    let mut second = 0;
    for _ in 0..20 {
        second += 1;
        assert_eq!(post(address, second, |request| request).await.0, 200);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    eventually(PATIENCE, async || lines(&api.stderr(), "spans are not delivered") == 1).await;
    let collector = Collector::start_at(collector).await;
    eventually(PATIENCE, async || {
        second += 1;
        post(address, second, |request| request).await.0 == 200 && !collector.spans().is_empty()
    })
    .await;
    api.terminate();
    assert!(api.ended(PATIENCE).await.success());
    let log = api.stderr();
    assert_eq!(lines(&log, "spans are not delivered"), 1, "{log}");
    assert_eq!(lines(&log, "again"), 1, "{log}");
}

#[tokio::test]
async fn a_silent_collector_holds_nothing_up() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free_address();
    let mut api = role(&["api"], &database, &topic, silent.local_addr().unwrap())
        .env("HTTP_ADDR", &address.to_string())
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "16")
        .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
        .start();
    is_ready(address).await;
    assert_eq!(post(address, 0, |request| request).await.0, 200);
    // It is asked, and never answers.
    let asked =
        tokio::time::timeout(PATIENCE, silent.accept()).await.expect("the collector is asked").unwrap();
    assert!(threads(api.id()).iter().any(|name| name.starts_with(EXPORTER)));
    for second in 1..=100 {
        assert_eq!(post(address, second, |request| request).await.0, 200);
    }
    let stopped = Instant::now();
    api.terminate();
    assert!(api.ended(PATIENCE).await.success());
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    assert!(api.stderr().contains("the last spans were not delivered"), "{}", api.stderr());
    drop(asked);
}

#[tokio::test]
async fn nobody_is_asked_unless_somebody_says_so() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = collector.local_addr().unwrap();
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")] {
        let address = free_address();
        let mut api = role(&["api"], &database, &topic, place)
            .env("HTTP_ADDR", &address.to_string())
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env(name, value)
            .start();
        is_ready(address).await;
        assert_eq!(post(address, 0, |request| request).await.0, 200);
        let threads = threads(api.id());
        assert!(!threads.iter().any(|name| name.starts_with(EXPORTER)), "{threads:?}");
        api.terminate();
        assert!(api.ended(PATIENCE).await.success());
        let connected = tokio::time::timeout(Duration::from_millis(10), collector.accept()).await;
        assert!(connected.is_err(), "the collector was asked");
        assert!(!api.stderr().contains("traces go to"), "{}", api.stderr());
    }
}

#[tokio::test]
async fn settings_that_cannot_be_followed_are_said_at_the_start() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let mut worker = role(&["worker"], &database, &topic, free_address())
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .start();
    assert!(!worker.ended(PATIENCE).await.success());
    let log = worker.stderr();
    assert!(log.contains("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken"), "{log}");
}
