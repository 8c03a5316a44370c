//! The `worker` role.

use crate::config::{DatabaseConfig, IngestConfig, KafkaConfig, KafkaSettings, MetricsConfig, WorkerConfig};

/// Runs the role to its end.
pub(super) async fn run(
    _database: &DatabaseConfig,
    _kafka: &KafkaConfig,
    _settings: &KafkaSettings,
    _ingest: &IngestConfig,
    _worker: &WorkerConfig,
    _metrics: &MetricsConfig,
    _stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet")
}
