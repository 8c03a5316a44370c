//! Workers that are killed, frozen, cut off and moved about while they work: nothing lost, nothing twice.
//!
//! `FAULTS_READINGS` says how many readings the larger tests move (300,000; the full proof is 3,000,000),
//! `FAULTS_POSTGRES_DOWN_SECONDS` (10; 60) and `FAULTS_KAFKA_DOWN_SECONDS` (8; 30) how long servers stay away,
//! `FAULTS_ANSWERS` how many errors a broker answers at random besides each of a fetch's (150),
//! and `FAULTS_SEED` repeats the moments that a run printed.

mod answers;
mod brokers;
mod churn;
mod cut_off;
mod frozen;
mod killed;
mod outages;
mod work;

use std::time::Duration;

use testbed::{Role, TestDatabase, TestTopic};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A worker of two consumers whose death Kafka notices within two seconds.
fn worker(database: &TestDatabase, topic: &TestTopic) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "2"])
        .database(database)
        .topic(topic)
        .env("SENSORPIPE_TEST_LOCK_TIMEOUT", "1s")
        .env("KAFKA_CONFIG_session_timeout_ms", "2000")
        .env("KAFKA_CONFIG_heartbeat_interval_ms", "500")
}

/// A number from the environment, or the one that suits `dev/test`.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Random moments that can be had again.
fn dice(test: &str) -> rand::rngs::StdRng {
    let seed = setting("FAULTS_SEED", rand::random::<u32>().into());
    println!("{test}: FAULTS_SEED={seed}");
    rand::SeedableRng::seed_from_u64(seed)
}
