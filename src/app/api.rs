//! The `api` role.

use crate::config::{DatabaseConfig, HttpConfig, IngestConfig, KafkaConfig, KafkaSettings};

/// Runs the role to its end.
pub(super) async fn run(
    _database: &DatabaseConfig,
    _kafka: &KafkaConfig,
    _settings: &KafkaSettings,
    _http: &HttpConfig,
    _ingest: &IngestConfig,
    _stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet")
}
