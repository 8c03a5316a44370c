//! The database and the Kafka cluster of a command.

use clap::Args;

use crate::config::{DatabaseConfig, KafkaConfig, KafkaSettings};

/// Where readings are stored, and where they come from.
#[derive(Args, Clone, Debug)]
pub struct Servers {
    #[command(flatten)]
    pub database: DatabaseConfig,
    #[command(flatten)]
    pub kafka: KafkaConfig,
    // From the environment, once it is known that the command needs them.
    #[arg(skip)]
    pub settings: KafkaSettings,
}
