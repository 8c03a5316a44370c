//! `sensorpipe stats`.

use chrono::NaiveDate;
use clap::{Args, Subcommand};

/// What is done with the statistics that are kept.
#[derive(Subcommand, Clone, Debug)]
pub enum StatsCommand {
    /// Compute kept daily statistics anew, after others' SQL has changed readings
    Rebuild(#[command(flatten)] RebuildConfig),
    /// Have the database itself forget a day's statistics when anybody's SQL changes its readings
    InstallTrigger,
    /// Take that trigger away again
    RemoveTrigger,
}

/// Which statistics.
#[derive(Args, Clone, Debug)]
pub struct RebuildConfig {
    /// Only of these sensors
    #[arg(long = "sensor", value_name = "SENSOR_ID")]
    pub sensors: Vec<i32>,

    /// Only of this UTC day and later ones
    #[arg(long, value_name = "DAY")]
    pub since: Option<NaiveDate>,
}
