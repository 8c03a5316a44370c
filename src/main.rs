//! Parses the arguments, starts telemetry, hands over.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
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

fn main() -> anyhow::Result<ExitCode> {
    if std::env::args_os().nth(1).is_some_and(|command| command == "load") {
        eprintln!(
            "Error: load is a program of its own: cargo run --release --package sensorpipe-load -- --help"
        );
        return Ok(ExitCode::from(2));
    }
    let cli: Cli = app::arguments();
    let log_level = app::start_logging(&cli.log);
    cli.command.warn_of_misplaced_variables();
    let settings = cli.command.kafka_settings();
    app::run(cli.command, Cli::command(), settings, log_level)
}
