//! Parses the arguments, starts telemetry, hands over.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
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
    if let Err(fault) = config::load_env_file() {
        return Ok(refuse(&format!(".env: {fault}")));
    }
    let arguments = config::without_empty_variables(Cli::command()).try_get_matches();
    let cli = arguments.and_then(|arguments| Cli::from_arg_matches(&arguments));
    let cli = cli.unwrap_or_else(|error| config::explained(error, &Cli::command()).exit());
    let log_level = match app::start_logging(&cli.log) {
        Ok(log_level) => log_level,
        Err(error) => return Ok(refuse(&format!("LOG_LEVEL: {error:#}"))),
    };
    cli.command.warn_of_retired_settings();
    match cli.command.kafka_settings() {
        Ok(settings) => app::run(cli.command, Cli::command(), settings, log_level),
        Err(faults) => Ok(refuse(&faults.to_string())),
    }
}

/// Says which settings cannot be used, a line for each.
fn refuse(faults: &str) -> ExitCode {
    /// As clap has it for flags; `audit` ends with 1 only where it found a difference.
    const INVALID_SETTINGS: u8 = 2;
    for fault in faults.lines() {
        eprintln!("Error: {fault}");
    }
    ExitCode::from(INVALID_SETTINGS)
}
