//! Parses the arguments, starts telemetry, hands over.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use sensorpipe::{
    app::{self, Command},
    config,
};

/// A request's memory comes from one thread and goes on another, which keeps the C library's allocator waiting: the
/// slowest answers under load come sooner with this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sensor readings from HTTP and Kafka into TimescaleDB, each stored exactly once.
#[derive(Parser)]
#[command(version = sensorpipe::version::VERSION_AND_COMMIT, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: sensorpipe::config::LogConfig,
}

fn main() -> anyhow::Result<ExitCode> {
    // A missing file is the usual case; a broken one is worth knowing.
    if let Some(fault) = dotenvy::dotenv().err().as_ref().and_then(config::env_file_fault) {
        anyhow::bail!(".env: {fault}");
    }
    let cli = Cli::try_parse().unwrap_or_else(|error| config::without_secrets(error).exit());
    let log_level = app::start_logging(&cli.log)?;
    app::run(cli.command, Cli::command(), log_level)
}
