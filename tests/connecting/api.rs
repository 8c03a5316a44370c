//! An api as its clients see it.

use std::net::SocketAddr;

use serde_json::Value;
use testbed::{Role, Sensorpipe, TestTopic, eventually, free_address};

use crate::PATIENCE;

/// A running api and a client of it.
pub(crate) struct Api {
    pub(crate) process: Sensorpipe,
    http: reqwest::Client,
    address: SocketAddr,
}

impl Api {
    pub(crate) fn start(database_url: &str, topic: &TestTopic) -> Self {
        let address = free_address();
        let process = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["api"])
            .topic(topic)
            .env("DATABASE_URL", database_url)
            .env("HTTP_ADDR", &address.to_string())
            .start();
        Self { process, http: reqwest::Client::new(), address }
    }

    /// Status and body of a request, or nothing where the api does not answer.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// The body of an answer that has to be a success.
    pub(crate) async fn gets(&self, method: &str, path: &str, body: &str) -> String {
        let answer = self.ask(method, path, body).await;
        let Some((200..=299, answer)) = answer else {
            panic!("{method} {path}: {answer:?}:\n{}", self.process.stderr())
        };
        answer
    }

    /// The same as JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let body = self.gets("GET", path, "").await;
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    pub(crate) async fn is_ready(&self) {
        eventually(PATIENCE, async || {
            self.ask("GET", "/readyz", "").await.is_some_and(|(status, _)| status == 200)
        })
        .await;
    }
}
