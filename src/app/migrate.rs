//! The `migrate` role.

use crate::config::{DatabaseConfig, KafkaConfig, KafkaSettings, SchemaConfig, TopicConfig};

/// Runs the role to its end.
pub(super) async fn run(
    _database: &DatabaseConfig,
    _kafka: &KafkaConfig,
    _settings: &KafkaSettings,
    _topic: &TopicConfig,
    _schema: &SchemaConfig,
) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet")
}
