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
    if is_load() {
        eprintln!(
            "Error: load is a program of its own: cargo run --release --package sensorpipe-load -- --help"
        );
        return Ok(ExitCode::from(2));
    }
    let mut cli: Cli = app::arguments();
    let log_level = app::start_logging(&cli.log);
    cli.command.warn_of_misplaced_variables();
    cli.command.read_kafka_settings();
    app::run(cli.command, Cli::command(), log_level)
}

/// Whether the command is one that there was, with whichever flags.
fn is_load() -> bool {
    let flags = clap::Arg::new("flags").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
    let load = clap::Command::new("load").disable_help_flag(true).disable_version_flag(true).arg(flags);
    Cli::command()
        .subcommand(load)
        .try_get_matches()
        .is_ok_and(|matches| matches.subcommand_name() == Some("load"))
}
