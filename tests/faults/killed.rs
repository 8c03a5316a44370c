//! SIGKILL.

use std::time::Duration;

use rand::Rng;
use testbed::{TestDatabase, TestTopic};

use crate::{PATIENCE, dice, setting, work::Work, worker};

const KILLS: i64 = 10;

#[tokio::test]
async fn a_worker_killed_ten_times_while_it_drains() {
    let mut dice = dice("killed");
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(6).await);
    let work = Work::new(&database).await;
    work.add(&topic, setting("FAULTS_READINGS", 300_000)).await;
    for kill in 1..=KILLS {
        // Batches small enough that there is a moment for every kill.
        let mut worker = worker(&database, &topic).env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "2000").start();
        let goal = work.readings() * (kill - 1) / (KILLS + 2) + dice.random_range(1..work.readings() / 30);
        let started = std::time::Instant::now();
        let stored = loop {
            let stored = database.tally().await.stored;
            if stored >= goal {
                break stored;
            }
            assert!(started.elapsed() < PATIENCE, "{stored} readings stored, none for a long time");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        // The moment itself is chance: in a transaction, between two, in its commit.
        tokio::time::sleep(Duration::from_micros(dice.random_range(0..15_000))).await;
        worker.kill();
        let after = database.tally().await.stored;
        println!("kill {kill} at {stored} of {} readings, {after} when it was gone", work.readings());
        assert!(
            after < work.readings(),
            "it had finished before kill {kill}: more FAULTS_READINGS are needed"
        );
    }
    let _worker = worker(&database, &topic).start();
    work.is_done(&database, &topic).await;
}
