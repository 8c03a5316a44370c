//! Databases that say no, or would take what they must not, and the parts of a process that end unasked.

mod health;
mod jobs;
mod rights;
mod settings;
mod unfit;
mod watched;

use std::time::Duration;

use testbed::{Record, Role, TestDatabase, TestTopic};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn role(args: &[&str]) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args)
}

/// A worker of the test's database and topic.
fn worker(database: &TestDatabase, topic: &TestTopic) -> Role {
    role(&["worker", "--consumers", "2"]).database(database).topic(topic)
}

/// A reading of sensor 1 each second from 2024 on.
fn readings(seconds: std::ops::Range<i64>) -> Vec<Record> {
    let reading = |second| {
        let timestamp = 1_704_067_200 + second;
        Record::new(format!(r#"{{"sensor_id":1,"value":1.5,"timestamp":{timestamp}}}"#)).key("1")
    };
    // Over all partitions, whatever the key.
    seconds.map(|second| reading(second).key(second.to_string())).collect()
}
