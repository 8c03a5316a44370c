//! Traces from a request to the transaction that stored it, as a collector sees them, against real servers.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod batches;
mod collector;
mod journeys;
mod outages;

use std::{net::SocketAddr, time::Duration};

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use testbed::{Role, TestDatabase, TestTopic, eventually};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// 2024-10-12, and a span of a client that keeps its trace.
const TIME: i64 = 1_728_743_340;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CLIENT_SPAN}-{flags}")
}

/// A role of the test's database and topic whose spans go to `collector`, once in a while or at the end.
fn role(args: &[&str], database: &TestDatabase, topic: &TestTopic, collector: SocketAddr) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args)
        .database(database)
        .topic(topic)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{collector}"))
}

/// An api that listens at an address.
async fn is_ready(address: SocketAddr) {
    let ready = format!("http://{address}/readyz");
    eventually(PATIENCE, async || reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200))
        .await;
}

/// Sends one reading of sensor 1 to the api, with what `build` adds to the request.
async fn post(
    api: SocketAddr,
    second: i64,
    build: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> (StatusCode, Value) {
    let request = reqwest::Client::new().post(format!("http://{api}/sensor_data/1"));
    let body = format!(r#"{{"value":1234.5,"timestamp":{}}}"#, TIME + second);
    let request = build(request.header("content-type", "application/json").body(body));
    let answer = request.send().await.expect("the api answers");
    (answer.status(), answer.json().await.expect("the api answers in JSON"))
}

/// The names of a process' threads, as far as the kernel keeps them.
fn threads(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process is there");
    // A thread may end meanwhile.
    tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}
