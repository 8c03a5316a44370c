//! The arguments of `sensorpipe settings`.

use clap::{Args, Subcommand};

use super::{Assignment, DatabaseConfig, ListFormat, Setting};

/// The settings that the database has for every process.
#[derive(Args, Clone, Debug)]
pub struct SettingsConfig {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,

    /// A table for people, or JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,

    /// What to do; they are shown where nothing is said
    #[command(subcommand)]
    pub command: Option<SettingsCommand>,
}

/// What to change.
#[derive(Subcommand, Clone, Debug)]
pub enum SettingsCommand {
    /// Set some; each process follows once it is restarted
    Set {
        /// Such as `on_duplicate=overwrite` or `retention=90days`
        #[arg(required = true, value_name = "NAME=VALUE")]
        assignments: Vec<Assignment>,

        /// Who does it; by default the role that connects
        #[arg(long, env = "USER", value_name = "NAME")]
        by: Option<String>,
    },
    /// Have the default again; each process follows once it is restarted
    Reset {
        /// Which ones
        #[arg(required = true, value_name = "NAME")]
        settings: Vec<Setting>,
    },
}
