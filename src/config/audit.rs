//! What an audit looks at, and how it tells.

use std::time::Duration;

use clap::{Args, value_parser};

use crate::reading::OnDuplicate;

/// The audit.
#[derive(Args, Clone, Debug)]
pub struct AuditConfig {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = AuditFormat::Table)]
    pub format: AuditFormat,

    /// Most readings that are named one by one
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub examples: usize,

    /// Partitions that are read at a time, each with a Kafka client and a database connection
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u16).range(1..=64))]
    pub concurrency: u16,

    /// Most bytes of one record's value, as the workers have it
    #[arg(long, env = "RECORD_MAX_BYTES", default_value_t = 16 << 20)]
    pub record_max_bytes: usize,

    /// Which of two readings for the same sensor and time stays, as the workers have it
    #[arg(long, env = "ON_DUPLICATE", value_enum, default_value_t = OnDuplicate::Ignore)]
    pub on_duplicate: OnDuplicate,

    /// Leave out how many rows `sensor_data` has, which takes a scan of the table
    #[arg(long)]
    pub no_table_count: bool,

    /// Have later audits begin where this one ends: what it finds is known from now on
    #[arg(long, conflicts_with = "watch")]
    pub accept: bool,

    /// Go on: audit what is stored since, again and again; metrics and health on `METRICS_ADDR`
    #[arg(long)]
    pub watch: bool,

    /// From the end of one round of --watch to the start of the next
    #[arg(long, env = "AUDIT_INTERVAL", default_value = "1min", value_parser = humantime::parse_duration)]
    pub interval: Duration,
}

/// The form of an audit's result.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFormat {
    /// For people.
    Table,
    /// For machines: one JSON object in a line.
    Json,
}
