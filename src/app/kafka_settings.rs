//! Which commands need settings for Kafka clients, and what is wrong with those of the environment.

use super::Command;
use crate::{
    config::{InvalidVariables, KafkaSettings, KafkaVariables},
    kafka,
};

impl Command {
    /// Settings from the environment for its Kafka clients; none for commands that create no client.
    pub fn kafka_settings(&self) -> Result<KafkaSettings, InvalidVariables> {
        match self {
            Self::Migrate { .. }
            | Self::Api { .. }
            | Self::Worker { .. }
            | Self::All { .. }
            | Self::Seed { .. }
            | Self::Load { .. }
            | Self::Audit { .. }
            | Self::Offsets { .. }
            | Self::Replay { .. }
            | Self::AfterRestore { .. } => {}
            Self::Stats { .. }
            | Self::Keys { .. }
            | Self::DeadLetters { .. }
            | Self::Openapi
            | Self::Completions { .. } => return Ok(KafkaSettings::default()),
        }
        let KafkaVariables { settings, service_links } = KafkaSettings::from_env(kafka::setting_fault)?;
        if !service_links.is_empty() {
            tracing::warn!(
                "ignored: {}, which Kubernetes sets for a service whose name begins with kafka-config; \
                 enableServiceLinks: false in the pod's spec turns them off",
                service_links.join(", ")
            );
        }
        Ok(settings)
    }
}
