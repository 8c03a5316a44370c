//! What people run it by: metrics, rules, dashboards, health and logs, against real servers and a real Prometheus.

#![expect(clippy::float_cmp, reason = "a metric that counts holds a whole number")]

mod document;
mod health;
mod lag;
mod logs;
mod migrations;
mod panels;
mod prometheus;
mod running_system;
mod scrape;
mod unsafe_settings;

use std::time::Duration;

use testbed::{Role, TestDatabase, TestTopic};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker of the test's database and topic that serves its metrics at an address.
fn worker(database: &TestDatabase, topic: &TestTopic, consumers: &str, address: &str) -> Role {
    role(&["worker", "--consumers", consumers]).database(database).topic(topic).env("METRICS_ADDR", address)
}

fn role(args: &[&str]) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args)
}

/// A file of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the repository.
fn text_of(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
