//! Every error that Kafka can answer, at random moments while records flow: nothing skipped, nothing twice.

use std::time::Duration;

use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use testbed::{MockKafka, Request, Role, Sensorpipe, TestDatabase, TestTopic, eventually, free_address};

use crate::{dice, setting, work::Work};

/// What a worker asks of its brokers.
const REQUESTS: [Request; 9] = [
    Request::Fetch,
    Request::ListOffsets,
    Request::Metadata,
    Request::OffsetCommit,
    Request::FindCoordinator,
    Request::JoinGroup,
    Request::SyncGroup,
    Request::Heartbeat,
    Request::OffsetForLeaderEpoch,
];
/// A member that gets one of these from a heartbeat joins again, so that the other requests of a group are made.
const REJOIN: [i32; 3] = [22, 25, 27]; // ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS
/// Longest time between two errors.
const PAUSE_MS: u64 = 60;

/// The mock cluster waits three seconds for members of a new group, and forgets those whose session is shorter.
fn worker(database: &TestDatabase, topic: &TestTopic) -> Role {
    crate::worker(database, topic).env("KAFKA_CONFIG_session_timeout_ms", "6000")
}

/// Each code to a fetch, and any code to any request.
fn answers(dice: &mut StdRng) -> Vec<(Request, i32)> {
    let codes = MockKafka::errors();
    assert!(codes.len() > 100, "librdkafka knows {} errors", codes.len());
    let mut answers: Vec<(Request, i32)> = codes.iter().map(|&code| (Request::Fetch, code)).collect();
    for _ in 0..setting("FAULTS_ANSWERS", 150) {
        let request = REQUESTS[dice.random_range(0..REQUESTS.len())];
        answers.push((request, codes[dice.random_range(0..codes.len())]));
    }
    answers.shuffle(dice);
    answers
}

/// An error after which a client is of no use ends the worker, and whoever runs it starts it again.
fn keep_running(worker: &mut Sensorpipe, start: impl FnOnce() -> Sensorpipe) {
    if let Some(status) = worker.exit_status() {
        assert!(!status.success(), "it ended unexpectedly and called that a success");
        assert!(!worker.stderr().contains("panicked"), "{}", worker.stderr());
        *worker = start();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_kafka_answers_nothing_is_skipped_and_nothing_is_twice() {
    let mut dice = dice("answers");
    let kafka = MockKafka::start();
    let topic = kafka.topic(4);
    let database = TestDatabase::create().await;
    let work = Work::new(&database).await;
    let start = || worker(&database, &topic).start();
    let mut worker = start();
    let load = work.keep_adding(&topic);
    for (request, code) in answers(&mut dice) {
        kafka.answer(request, &vec![code; dice.random_range(1..=3)]);
        if dice.random_ratio(1, 8) {
            kafka.answer(Request::Heartbeat, &[REJOIN[dice.random_range(0..REJOIN.len())]]);
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(1..=PAUSE_MS))).await;
        keep_running(&mut worker, start);
    }
    for request in REQUESTS {
        kafka.answer_well(request);
    }
    load.stop().await;
    work.is_done_by(&database, &topic, async || keep_running(&mut worker, start)).await;
}

/// The state of what a worker says of its partitions, and why.
async fn partitions(address: &str) -> (String, String) {
    let health = reqwest::get(format!("http://{address}/readyz")).await.expect("it answers");
    let health: serde_json::Value = health.json().await.expect("it is JSON");
    let text = |name: &str| health["components"]["partitions"][name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

async fn is_stalled_for(database: &TestDatabase, topic: &TestTopic, code: i32, gap: &str) {
    let kafka_answers = format!("code {code}");
    let reported = async || {
        database
            .number(&format!(
                "SELECT count(*) FROM stalled_partitions WHERE topic = '{}' AND reason = '{gap}'",
                topic.name
            ))
            .await
    };
    eventually(crate::PATIENCE, async || reported().await > 0).await;
    println!("{kafka_answers} is told as {gap}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_lasts_is_a_stalled_partition_and_ends_by_itself() {
    const TOPIC_AUTHORIZATION_FAILED: i32 = 29;
    const UNKNOWN_SERVER_ERROR: i32 = -1;
    let kafka = MockKafka::start();
    let topic = kafka.topic(2);
    let database = TestDatabase::create().await;
    let work = Work::new(&database).await;
    let address = free_address().to_string();
    let worker = worker(&database, &topic).env("METRICS_ADDR", &address).start();
    work.add(&topic, 1_000).await;
    database.stores_all_of(&topic, crate::PATIENCE).await;
    for (code, gap) in
        [(TOPIC_AUTHORIZATION_FAILED, "not_authorized"), (UNKNOWN_SERVER_ERROR, "fetch_failed")]
    {
        // More than there are fetches until it is taken back.
        kafka.answer(Request::Fetch, &vec![code; 10_000]);
        is_stalled_for(&database, &topic, code, gap).await;
        work.add(&topic, 1_000).await;
        let (state, reason) = partitions(&address).await;
        assert!(state == "down" && reason.contains(gap), "{state}: {reason}");
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.expect("it answers");
        let metrics = metrics.text().await.expect("it is text");
        let stalled = format!("sensorpipe_stalled_partitions{{gap=\"{gap}\"}} 2");
        assert!(metrics.contains(&stalled), "{metrics}");
        let log = worker.stderr();
        let said = log.lines().filter(|line| line.contains("ERROR") && line.contains(gap)).count();
        assert_eq!(said, 2, "once for each partition:\n{log}");
        kafka.answer_well(Request::Fetch);
        eventually(crate::PATIENCE, async || partitions(&address).await.0 == "up").await;
        let reported = async || database.number("SELECT count(*) FROM stalled_partitions").await;
        eventually(crate::PATIENCE, async || reported().await == 0).await;
    }
    work.is_done(&database, &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_does_not_let_a_worker_in_makes_it_unready_and_is_named() {
    const GROUP_AUTHORIZATION_FAILED: i32 = 30;
    let kafka = MockKafka::start();
    let topic = kafka.topic(2);
    let database = TestDatabase::create().await;
    let work = Work::new(&database).await;
    let address = free_address().to_string();
    kafka.answer(Request::JoinGroup, &vec![GROUP_AUTHORIZATION_FAILED; 10_000]);
    let _worker = worker(&database, &topic).env("METRICS_ADDR", &address).start();
    let refused = async || {
        let Ok(answer) = reqwest::get(format!("http://{address}/readyz")).await else { return false };
        answer.status() == 503
            && answer.text().await.expect("it is text").contains("Group authorization failed")
    };
    eventually(crate::PATIENCE, refused).await;
    // It goes on being asked whether the topic is the same, and that is no reason to call it something else.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(refused().await, "it does not call itself ready before it is let in");
    kafka.answer_well(Request::JoinGroup);
    work.add(&topic, 1_000).await;
    work.is_done(&database, &topic).await;
    eventually(crate::PATIENCE, async || !refused().await).await;
}
