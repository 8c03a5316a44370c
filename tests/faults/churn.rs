//! Consumers that come and go.

use std::time::Duration;

use rand::Rng;
use testbed::{Sensorpipe, TestDatabase, TestTopic, comes_to, eventually};

use crate::{PATIENCE, dice, setting, work::Work, worker};

#[tokio::test]
async fn three_workers_restarted_in_turn_under_load() {
    let mut dice = dice("churn");
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(12).await);
    let work = Work::new(&database).await;
    let mut workers: Vec<_> = (0..3).map(|_| worker(&database, &topic).start()).collect();
    let load = work.keep_adding(&topic);
    for restart in 0..9 {
        // A pace, not a wait for something: whatever state the group is in, the next one goes.
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..2_500))).await;
        let leaving = &mut workers[restart % 3];
        leaving.terminate();
        let status = leaving.ended(Duration::from_secs(30)).await;
        assert_eq!(status.code(), Some(0), "{}", leaving.stderr());
        assert!(!leaving.stderr().contains("ERROR"), "{}", leaving.stderr());
        workers[restart % 3] = worker(&database, &topic).start();
    }
    load.stop().await;
    work.is_done(&database, &topic).await;
    for worker in &mut workers {
        assert_eq!(worker.exit_status(), None, "a worker ended:\n{}", worker.stderr());
        assert!(!worker.stderr().contains("ERROR"), "{}", worker.stderr());
    }
}

#[tokio::test]
async fn a_worker_that_stops_in_the_middle_of_a_rebalance_leaves_the_group() {
    const ASSIGNED: &str = "partitions assigned at their stored offsets kafka.starts=[(";
    const REVOKED: &str = "partitions revoked";
    let mut dice = dice("leaving");
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(6).await);
    let start = |consumers| {
        testbed::Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", consumers])
            .database(&database)
            .topic(&topic)
            // Who did not leave would be a member for so long.
            .env("KAFKA_CONFIG_session_timeout_ms", "30000")
            .env("KAFKA_CONFIG_heartbeat_interval_ms", "1500")
            .start()
    };
    let stays = start("1");
    let count = |words| stays.stderr().matches(words).count();
    eventually(PATIENCE, async || count(ASSIGNED) > 0).await;
    for _ in 0..5 {
        let (assigned, revoked) = (count(ASSIGNED), count(REVOKED));
        let mut leaves = start("2");
        // What it gave up is handed out in another round, of which each member hears with its next heartbeat.
        eventually(PATIENCE, async || count(REVOKED) > revoked).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..1_500))).await;
        leaves.terminate();
        assert_eq!(leaves.ended(Duration::from_secs(30)).await.code(), Some(0), "{}", leaves.stderr());
        let soon = Duration::from_secs(10);
        comes_to("members after it left", soon, 1, async || topic.group_member_count().await).await;
        eventually(soon, async || count(ASSIGNED) > assigned).await;
    }
}

#[tokio::test]
async fn the_brokers_own_group_protocol_drains_and_rebalances() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(6).await);
    let work = Work::new(&database).await;
    // KIP-848: the broker, not the client, says how long a session lasts, so those settings are not made here.
    let start = || {
        testbed::Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "2"])
            .database(&database)
            .topic(&topic)
            .env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "5000")
            .env("KAFKA_CONFIG_group_protocol", "consumer")
            .start()
    };
    work.add(&topic, setting("FAULTS_READINGS", 300_000) / 3).await;
    let mut first = start();
    work.is_done(&database, &topic).await;
    let load = work.keep_adding(&topic);
    let second = start();
    let has_some = "partitions assigned at their stored offsets kafka.starts=[(";
    eventually(PATIENCE, async || second.stderr().contains(has_some)).await;
    assert!(first.stderr().contains("partitions revoked"), "{}", first.stderr());
    first.terminate();
    assert_eq!(first.ended(Duration::from_secs(30)).await.code(), Some(0), "{}", first.stderr());
    load.stop().await;
    work.is_done(&database, &topic).await;
    assert!(!second.stderr().contains("ERROR"), "{}", second.stderr());
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions_and_moves_nobody_elses() {
    const ASSIGNED: &str = "partitions assigned at their stored offsets kafka.starts=[(";
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(6).await);
    let work = Work::new(&database).await;
    let start = |instance: &str| {
        worker(&database, &topic)
            .env("KAFKA_CONFIG_group_instance_id", instance)
            .env("KAFKA_CONFIG_session_timeout_ms", "20000")
            // A member hears with its next heartbeat that others came: the group is at rest after some without a word.
            .env("KAFKA_CONFIG_heartbeat_interval_ms", "500")
            .start()
    };
    let assignments = |of: &Sensorpipe| of.stderr().matches(ASSIGNED).count();
    let (mut one, other) = (start("one"), start("other"));
    work.add(&topic, 10_000).await;
    work.is_done(&database, &topic).await;
    // Both consumers of both workers have some, and the group has come to rest.
    eventually(PATIENCE, async || {
        let before = (assignments(&one), assignments(&other));
        tokio::time::sleep(Duration::from_secs(3)).await;
        before.0 >= 2 && before.1 >= 2 && before == (assignments(&one), assignments(&other))
    })
    .await;
    let moves = || -> Vec<String> {
        other.stderr().lines().filter(|line| line.contains("partitions ")).map(str::to_owned).collect()
    };
    let before = moves();
    let load = work.keep_adding(&topic);
    for kill in [false, true] {
        if kill {
            one.kill();
        } else {
            one.terminate();
            assert_eq!(one.ended(Duration::from_secs(30)).await.code(), Some(0), "{}", one.stderr());
        }
        one = start("one");
        eventually(PATIENCE, async || assignments(&one) == 2).await;
    }
    load.stop().await;
    work.is_done(&database, &topic).await;
    assert_eq!(moves(), before, "the other worker was not to notice");
}
