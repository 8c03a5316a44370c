//! Which commands need settings for Kafka clients, and what is wrong with those of the environment; and what else it has
//! that does nothing.

use super::Command;
use crate::{
    config::{InvalidVariables, KafkaSettings, KafkaVariables, retired_settings},
    kafka,
};

impl Command {
    /// Warns of variables that were settings once; commands that never had such settings are left in peace.
    pub fn warn_of_retired_settings(&self) {
        let has_settings = matches!(
            self,
            Self::Migrate { .. }
                | Self::Api { .. }
                | Self::Worker { .. }
                | Self::All { .. }
                | Self::Audit { .. }
        );
        if has_settings && let Some(named) = retired_settings(|name| std::env::var_os(name)) {
            tracing::warn!("ignored: {named}; these variables are no settings any more, unset them");
        }
    }

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
            | Self::Settings { .. }
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
