//! Parses the arguments, starts telemetry, hands over.

use clap::Parser;
use sensorpipe::app::{self, Command};

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

fn main() -> anyhow::Result<()> {
    // A missing file is the usual case; a broken one is worth knowing.
    match dotenvy::dotenv() {
        Err(error) if !error.not_found() => anyhow::bail!(".env: {error}"),
        _ => {}
    }
    let cli = Cli::parse();
    let log_level = app::start_logging(&cli.log)?;
    app::run(cli.command, log_level)
}
