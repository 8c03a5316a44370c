//! From the topic into the table, against real servers: every reading meets the fate that the contract says.

mod all_refused;
mod codecs;
mod fates;
mod gaps;
mod idle;
mod many_refusals;
mod policies;
mod refusals;
mod starts;
mod stopping;
mod triggers;

use std::time::Duration;

use testbed::{Record, Role, TestDatabase, TestTopic};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker of the test's database and topic.
fn worker(database: &TestDatabase, topic: &TestTopic) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "2"])
        .database(database)
        .topic(topic)
        .env("SENSORPIPE_TEST_LOCK_TIMEOUT", "1s")
}

/// A record with one reading; the time is in seconds after 2024-01-01.
fn reading(sensor_id: i32, value: f64, second: i64) -> Record {
    let timestamp = 1_704_067_200 + second;
    Record::new(format!(r#"{{"sensor_id":{sensor_id},"value":{value},"timestamp":{timestamp}}}"#))
        .key(sensor_id.to_string())
}
