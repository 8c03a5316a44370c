//! Postgres out of reach of a worker, or an answer of it lost on the way.

use std::time::{Duration, Instant};

use testbed::{Gate, Role, TestDatabase, TestTopic, eventually};

use crate::{PATIENCE, work::Work, worker};

/// A gate to the database's server, and a worker that goes through it.
fn gated(database: &TestDatabase, topic: &TestTopic) -> (Gate, Role) {
    let (before, rest) = database.url.split_once('@').expect("a URL with a role");
    let (server, name) = rest.split_once('/').expect("a URL with a database");
    let gate = Gate::to(server);
    let url = format!("{before}@{}/{name}", gate.address);
    let worker = worker(database, topic)
        .env("DATABASE_URL", &url)
        .env("SENSORPIPE_TEST_ASSIGN_TIMEOUT", "2s")
        .env("DRAIN_TIMEOUT", "2s");
    (gate, worker)
}

#[tokio::test]
async fn a_lost_answer_to_commit_stores_nothing_twice() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(4).await);
    let work = Work::new(&database).await;
    let (gate, worker) = gated(&database, &topic);
    gate.cut_after(b"COMMIT", 7);
    work.add(&topic, 40_000).await;
    let worker = worker.env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "2000").start();
    work.is_done(&database, &topic).await;
    assert_eq!(gate.times_cut(), 7, "{}", worker.stderr());
    // It knows that its batches were its own, and goes on without starting over.
    work.add(&topic, 10_000).await;
    work.is_done(&database, &topic).await;
    let log = worker.stderr();
    assert!(!log.contains("moved by another process") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn a_worker_that_starts_without_postgres_waits_for_it() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(4).await);
    let work = Work::new(&database).await;
    work.add(&topic, 10_000).await;
    let (gate, worker) = gated(&database, &topic);
    gate.close();
    let mut worker = worker.start();
    eventually(PATIENCE, async || worker.stderr().contains("waiting up to 120 s for Postgres")).await;
    assert_eq!(worker.exit_status(), None, "{}", worker.stderr());
    gate.open();
    work.is_done(&database, &topic).await;
}

#[tokio::test]
async fn partitions_assigned_without_postgres_go_to_those_who_have_it() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(6).await);
    let work = Work::new(&database).await;
    let (gate, cut_off) = gated(&database, &topic);
    let mut cut_off = cut_off.start();
    work.add(&topic, 10_000).await;
    work.is_done(&database, &topic).await;
    let assigned = "partitions assigned at their stored offsets kafka.starts=[(";
    // Both of its consumers have some.
    eventually(PATIENCE, async || cut_off.stderr().matches(assigned).count() >= 2).await;
    // It keeps what it has, and what it holds waits.
    gate.close();
    work.add(&topic, 10_000).await;
    eventually(PATIENCE, async || cut_off.stderr().contains("retrying, nothing is lost")).await;
    // Another one takes some of its partitions and goes: those come back to it, and it cannot take them.
    let mut second = worker(&database, &topic).start();
    eventually(PATIENCE, async || second.stderr().contains(assigned)).await;
    second.terminate();
    assert_eq!(second.ended(PATIENCE).await.code(), Some(0), "{}", second.stderr());
    let left = "left the group, so that others may take over";
    eventually(PATIENCE, async || cut_off.stderr().contains(left)).await;
    // Whoever has Postgres gets all that it could not read, also what it held itself.
    let mut third = worker(&database, &topic).start();
    work.add(&topic, 10_000).await;
    eventually(PATIENCE, async || cut_off.stderr().matches(left).count() == 2).await;
    work.is_done(&database, &topic).await;

    gate.open();
    eventually(PATIENCE, async || cut_off.stderr().matches("joining the group").count() == 2).await;
    // It can do it alone again.
    third.terminate();
    assert_eq!(third.ended(PATIENCE).await.code(), Some(0), "{}", third.stderr());
    work.add(&topic, 10_000).await;
    work.is_done(&database, &topic).await;
    assert_eq!(cut_off.exit_status(), None, "{}", cut_off.stderr());
}

#[tokio::test]
async fn a_worker_cut_off_from_postgres_stops_within_its_bound() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(6).await);
    let work = Work::new(&database).await;
    let (gate, cut_off) = gated(&database, &topic);
    let mut cut_off = cut_off.start();
    work.add(&topic, 1_000).await;
    work.is_done(&database, &topic).await;
    gate.close();
    work.add(&topic, 1_000).await;
    eventually(PATIENCE, async || cut_off.stderr().contains("retrying, nothing is lost")).await;
    // Somebody else joins, so that partitions are asked back while they cannot be committed.
    let _second = worker(&database, &topic).start();
    eventually(PATIENCE, async || cut_off.stderr().contains("partitions revoked")).await;
    let asked = Instant::now();
    cut_off.terminate();
    assert_eq!(cut_off.ended(Duration::from_secs(20)).await.code(), Some(0), "{}", cut_off.stderr());
    println!("stopped after {:?}", asked.elapsed());
    work.is_done(&database, &topic).await;
}
