//! Parses the arguments and runs the load generator.

use clap::Parser;
use sensorpipe::{
    app,
    config::{DatabaseConfig, KafkaConfig, LogConfig},
};
use sensorpipe_load::LoadConfig;
use tokio_util::sync::CancellationToken;

/// The service's own, so that its clients cost no more than it does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Send made-up readings to Kafka or over HTTP, and check that each is stored once
#[derive(Parser)]
#[command(version = sensorpipe::version::VERSION_AND_COMMIT)]
struct Cli {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    kafka: KafkaConfig,
    #[command(flatten)]
    load: LoadConfig,
    #[command(flatten)]
    log: LogConfig,
}

fn main() -> anyhow::Result<()> {
    let Cli { database, kafka, load, log } = app::arguments();
    app::start_logging(&log);
    let settings = app::kafka_settings();
    let stop = CancellationToken::new();
    let runtime = app::start_runtime(&stop)?;
    runtime.block_on(sensorpipe_load::run(&database, &kafka, &settings, &load, stop))
}
