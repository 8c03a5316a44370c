//! What a process says of itself.

use reqwest::StatusCode;
use serde_json::Value;
use testbed::{Role, Sensorpipe, eventually, free_address};

use crate::PATIENCE;

/// A process with a `/readyz`.
pub(crate) struct Watched {
    pub(crate) process: Sensorpipe,
    url: String,
}

impl Watched {
    /// Starts a worker that serves its health.
    pub(crate) fn start(role: Role) -> Self {
        let address = free_address().to_string();
        let process = role.env("METRICS_ADDR", &address).start();
        Self { process, url: format!("http://{address}/readyz") }
    }

    /// Whether it is ready, and the text of its answer; none where it does not answer.
    pub(crate) async fn readiness(&self) -> Option<(bool, String)> {
        let answer = reqwest::get(&self.url).await.ok()?;
        let is_ready = answer.status() == StatusCode::OK;
        Some((is_ready, answer.text().await.ok()?))
    }

    /// Waits until it is ready.
    pub(crate) async fn is_ready(&self) {
        eventually(PATIENCE, async || self.readiness().await.is_some_and(|(is_ready, _)| is_ready)).await;
    }

    /// Waits until it is not ready and a component of it says so in these words.
    pub(crate) async fn is_unready(&self, component: &str, words: &str) {
        let says_so = async || {
            let Some((false, text)) = self.readiness().await else { return false };
            let health: Value = serde_json::from_str(&text).expect("it is JSON");
            health["components"][component]["reason"].as_str().is_some_and(|reason| reason.contains(words))
        };
        eventually(PATIENCE, says_so).await;
    }
}
