//! What a command finds in the environment besides its flags: settings of Kafka's clients, and variables that nobody
//! should set.

use super::{Command, kafka_settings};
use crate::config::{retired_settings, settings_for_tests};

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

    /// Reads settings for its Kafka clients from the environment; nothing for commands that create no client. The process
    /// ends where they cannot be used.
    pub fn read_kafka_settings(&mut self) {
        match self {
            Self::Migrate { servers, .. }
            | Self::Api { servers, .. }
            | Self::Worker { servers, .. }
            | Self::All { servers, .. }
            | Self::Seed { servers }
            | Self::Audit { servers, .. }
            | Self::Offsets { servers, .. }
            | Self::Replay { servers, .. } => servers.settings = kafka_settings(),
            Self::Stats { .. }
            | Self::Settings { .. }
            | Self::Keys { .. }
            | Self::DeadLetters { .. }
            | Self::Openapi
            | Self::Completions { .. } => {}
        }
    }
}
