//! SIGSTOP: a worker that is gone for its group and for its locks, and then comes back.

use std::time::{Duration, Instant};

use rand::{Rng, rngs::StdRng};
use testbed::{Sensorpipe, TestDatabase, TestTopic, comes_to, eventually};

use crate::{PATIENCE, dice, setting, work::Work, worker};

const ASSIGNED: &str = "partitions assigned at their stored offsets kafka.starts=[(";

/// How often a worker's log has this.
fn count(worker: &Sensorpipe, words: &str) -> usize {
    worker.stderr().matches(words).count()
}

#[tokio::test]
async fn one_of_three_frozen_until_its_partitions_have_moved() {
    let mut dice = dice("frozen");
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(12).await);
    let work = Work::new(&database).await;
    let start = || worker(&database, &topic).env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "1000").start();
    let mut workers = [start(), start(), start()];
    eventually(PATIENCE, async || workers.iter().all(|worker| count(worker, ASSIGNED) > 0)).await;
    for round in 1..=3 {
        let frozen = &workers[2];
        let stored = freeze_in_the_middle(&database, &topic, &work, frozen, &mut dice).await;
        println!("round {round}: frozen at {stored} of {}", work.readings());
        let assigned = count(frozen, ASSIGNED);
        comes_to("members while it is frozen", PATIENCE, 4, async || topic.group_member_count().await).await;
        work.is_done(&database, &topic).await;
        frozen.thaw();
        eventually(PATIENCE, async || count(frozen, ASSIGNED) > assigned).await;
    }
    // All three go on.
    work.add(&topic, 50_000).await;
    work.is_done(&database, &topic).await;
    for worker in &mut workers {
        assert_eq!(worker.exit_status(), None, "a worker ended:\n{}", worker.stderr());
        assert_eq!(count(worker, "ERROR"), 0, "{}", worker.stderr());
    }
}

/// Adds work and freezes a worker at a moment when some of it is stored and some is not. Returns how much is.
async fn freeze_in_the_middle(
    database: &TestDatabase,
    topic: &TestTopic,
    work: &Work,
    worker: &Sensorpipe,
    dice: &mut StdRng,
) -> i64 {
    for _ in 0..10 {
        let before = database.tally().await.stored;
        work.add(topic, setting("FAULTS_READINGS", 300_000) / 3).await;
        let moment = Duration::from_micros(dice.random_range(0..30_000));
        let started = Instant::now();
        while database.tally().await.stored == before {
            assert!(started.elapsed() < PATIENCE, "nothing is stored");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(moment).await;
        worker.freeze();
        let stored = database.tally().await.stored;
        if stored < work.readings() {
            return stored;
        }
        worker.thaw();
    }
    panic!("everything was stored before the worker was frozen, ten times: more FAULTS_READINGS are needed");
}

/// Freezes a worker while a backend of its is inside COPY and waits for more of it.
async fn freeze_in_mid_copy(database: &TestDatabase, worker: &Sensorpipe) {
    const IN_COPY: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'sensorpipe worker'
          AND state = 'active' AND query LIKE 'COPY sensor_data%'";
    let waiting = format!("{IN_COPY} AND wait_event = 'ClientRead'");
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "never caught in COPY");
        if database.number(IN_COPY).await == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        worker.freeze();
        // What it had sent is taken in; then COPY waits for more, or it had been sent whole and is over.
        let frozen_at = Instant::now();
        while database.number(IN_COPY).await > 0 && frozen_at.elapsed() < Duration::from_secs(20) {
            if database.number(&waiting).await > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        worker.thaw();
    }
}

#[tokio::test]
async fn one_frozen_in_mid_copy_does_not_hold_up_its_successor() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(4).await);
    let work = Work::new(&database).await;
    work.add(&topic, setting("FAULTS_READINGS", 300_000)).await;
    let frozen = worker(&database, &topic).env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "200000").start();
    freeze_in_mid_copy(&database, &frozen).await;
    let frozen_at = Instant::now();
    let before = database.tally().await.stored;

    let mut successor = worker(&database, &topic).env("SENSORPIPE_TEST_LOCK_TIMEOUT", "8s").start();
    let ended = "ended the backend of a frozen worker";
    eventually(PATIENCE, async || count(&successor, ended) > 0).await;
    let blocked_until = frozen_at.elapsed();
    eventually(PATIENCE, async || database.tally().await.stored > before).await;
    println!(
        "its locks were broken after {blocked_until:?}, readings stored again after {:?}",
        frozen_at.elapsed()
    );
    // Two seconds until Kafka gives the partitions away, eight of SENSORPIPE_TEST_LOCK_TIMEOUT, and not twice that; the rest is noise.
    assert!(blocked_until < Duration::from_secs(17), "held up for {blocked_until:?}");
    work.is_done(&database, &topic).await;
    // The stored offsets go past what the frozen one holds.
    work.add(&topic, 50_000).await;
    work.is_done(&database, &topic).await;

    let assigned = count(&frozen, ASSIGNED);
    frozen.thaw();
    eventually(PATIENCE, async || count(&frozen, ASSIGNED) > assigned).await;
    eventually(PATIENCE, async || count(&frozen, "the stored offset was moved by another process") > 0).await;
    work.add(&topic, 50_000).await;
    work.is_done(&database, &topic).await;
    // The one that came back can do it alone.
    successor.terminate();
    assert_eq!(successor.ended(PATIENCE).await.code(), Some(0), "{}", successor.stderr());
    work.add(&topic, 50_000).await;
    work.is_done(&database, &topic).await;
    assert_eq!(count(&frozen, "ERROR"), 0, "{}", frozen.stderr());
}
