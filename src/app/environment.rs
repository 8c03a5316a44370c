//! What a command finds in the environment besides its flags: settings of Kafka's clients, and variables that nobody
//! should set.

use super::{Command, kafka_settings};
use crate::config::{KafkaSettings, retired_settings, settings_for_tests};

impl Command {
    /// Warns of variables that were settings once, and of those for tests; commands that never had either are left in
    /// peace.
    pub fn warn_of_misplaced_variables(&self) {
        let has_settings = matches!(
            self,
            Self::Migrate { .. }
                | Self::Api { .. }
                | Self::Worker { .. }
                | Self::All { .. }
                | Self::Audit { .. }
        );
        if !has_settings {
            return;
        }
        if let Some(named) = settings_for_tests(std::env::vars_os().map(|(name, _)| name)) {
            tracing::warn!("for tests only: {named}; in production unset these variables");
        }
        if let Some(named) = retired_settings(|name| std::env::var_os(name)) {
            tracing::warn!("ignored: {named}; these variables are no settings any more, unset them");
        }
    }

    /// Settings from the environment for its Kafka clients; none for commands that create no client. The process ends
    /// where they cannot be used.
    pub fn kafka_settings(&self) -> KafkaSettings {
        match self {
            Self::Migrate { .. }
            | Self::Api { .. }
            | Self::Worker { .. }
            | Self::All { .. }
            | Self::Seed { .. }
            | Self::Audit { .. }
            | Self::Offsets { .. }
            | Self::Replay { .. }
            | Self::AfterRestore { .. } => kafka_settings(),
            Self::Stats { .. }
            | Self::Settings { .. }
            | Self::Keys { .. }
            | Self::DeadLetters { .. }
            | Self::Openapi
            | Self::Completions { .. } => KafkaSettings::default(),
        }
    }
}
