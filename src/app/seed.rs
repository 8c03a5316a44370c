//! The `seed` role.

use crate::config::{DatabaseConfig, KafkaConfig, KafkaSettings};

/// Runs the role to its end.
pub(super) async fn run(
    _database: &DatabaseConfig,
    _kafka: &KafkaConfig,
    _settings: &KafkaSettings,
) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet")
}
