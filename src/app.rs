//! The only wiring: which tasks a role runs, and in which order they stop.

use clap::Subcommand;
use tracing_subscriber::EnvFilter;

use crate::config::{
    DatabaseConfig, HttpConfig, IngestConfig, KafkaConfig, LogConfig, LogFormat, MetricsConfig, SchemaConfig,
    TopicConfig, WorkerConfig,
};

/// What the process does.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Bring the schema up to date and create the topic where it is missing
    Migrate {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        kafka: KafkaConfig,
        #[command(flatten)]
        topic: TopicConfig,
        #[command(flatten)]
        schema: SchemaConfig,
    },
    /// Serve HTTP: publish readings to Kafka, answer statistics
    Api {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        kafka: KafkaConfig,
        #[command(flatten)]
        http: HttpConfig,
        #[command(flatten)]
        ingest: IngestConfig,
    },
    /// Move readings from Kafka into the database
    Worker {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        kafka: KafkaConfig,
        #[command(flatten)]
        ingest: IngestConfig,
        #[command(flatten)]
        worker: WorkerConfig,
        #[command(flatten)]
        metrics: MetricsConfig,
    },
    /// Migrate, then api and worker in one process
    All {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        kafka: KafkaConfig,
        #[command(flatten)]
        topic: TopicConfig,
        #[command(flatten)]
        schema: SchemaConfig,
        #[command(flatten)]
        http: HttpConfig,
        #[command(flatten)]
        ingest: IngestConfig,
        #[command(flatten)]
        worker: WorkerConfig,
    },
    /// Send the two sample sensors' readings of the last 14 days through Kafka
    Seed {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        kafka: KafkaConfig,
    },
    /// Print the OpenAPI document
    Openapi,
}

/// Sends log lines to stderr, so that a command's answer on stdout stays clean.
pub fn start_logging(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_level)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Runs a command to its end.
pub fn run(command: Command) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet: {command:?}")
}
