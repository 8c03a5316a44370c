//! Servers that go away and come back, under load: the same worker, nothing lost, nothing twice.

use std::time::{Duration, Instant};

use testbed::{Sensorpipe, Service, TestDatabase, TestServers, TestTopic, eventually};

use crate::{PATIENCE, setting, work::Work, worker};

/// Waits until something is stored that was not when this was called.
async fn goes_on(database: &TestDatabase, worker: &mut Sensorpipe, what: &str) {
    let (before, started) = (tally(database).await, Instant::now());
    eventually(PATIENCE, async || tally(database).await > before).await;
    println!("after {what} readings are stored again within {:?}", started.elapsed());
    assert_eq!(worker.exit_status(), None, "the worker ended:\n{}", worker.stderr());
}

/// Readings stored; connections of the pool that died with the server are tried away.
async fn tally(database: &TestDatabase) -> i64 {
    let started = Instant::now();
    loop {
        if let Some(tally) = database.tally_if_reachable().await {
            return tally.stored;
        }
        assert!(started.elapsed() < PATIENCE, "Postgres does not answer the test");
    }
}

#[tokio::test]
async fn postgres_and_kafka_stopped_and_killed_under_load() {
    let servers = TestServers::start(env!("CARGO_TARGET_TMPDIR")).await;
    let database = TestDatabase::create_at(&servers.database_url).await;
    let topic = TestTopic::create_at(&servers.brokers, 6).await;
    let work = Work::new(&database).await;
    let mut worker = worker(&database, &topic).start();
    let load = work.keep_adding(&topic);
    goes_on(&database, &mut worker, "the start").await;

    let seconds = setting("FAULTS_POSTGRES_DOWN_SECONDS", 10);
    servers.down(Service::Postgres).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    servers.up(Service::Postgres).await;
    goes_on(&database, &mut worker, &format!("{seconds} s without Postgres")).await;

    let seconds = setting("FAULTS_KAFKA_DOWN_SECONDS", 8);
    servers.down(Service::Kafka).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    servers.up(Service::Kafka).await;
    goes_on(&database, &mut worker, &format!("{seconds} s without Kafka")).await;

    servers.kill(Service::Postgres).await;
    servers.up(Service::Postgres).await;
    goes_on(&database, &mut worker, "a crash of Postgres").await;

    servers.kill(Service::Kafka).await;
    servers.up(Service::Kafka).await;
    goes_on(&database, &mut worker, "a crash of Kafka").await;

    load.stop().await;
    work.is_done(&database, &topic).await;

    // Nothing to wait for, and nobody to tell: it stops all the same.
    servers.down(Service::Kafka).await;
    let asked = Instant::now();
    worker.terminate();
    assert_eq!(worker.ended(Duration::from_secs(40)).await.code(), Some(0), "{}", worker.stderr());
    println!("without Kafka it stopped after {:?}", asked.elapsed());
    servers.up(Service::Kafka).await;
}
