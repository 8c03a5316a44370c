//! How consumers batch and write, and what a worker does beside it.

use std::time::Duration;

use clap::Args;

use super::{DeadLetterBounds, DeadLetterRetention, RetentionStats};

/// The pool of consumers.
#[derive(Args, Clone, Debug)]
pub struct WorkerConfig {
    /// Consumers in this process, each with a database connection of its own; the cores where not set
    #[arg(long, env = "CONSUMERS")]
    pub consumers: Option<usize>,

    /// Where to start on a topic that the database has never seen: its beginning, or its end
    #[arg(long, env = "START", value_enum, default_value_t = Start::Earliest)]
    pub start: Start,

    /// Most readings in one transaction
    #[arg(long, env = "BATCH_MAX_READINGS", default_value_t = 50_000)]
    pub batch_max_readings: usize,

    /// Most bytes of records in one transaction
    #[arg(long, env = "BATCH_MAX_BYTES", default_value_t = 8 << 20)]
    pub batch_max_bytes: usize,

    /// Most bytes of one record's value; a larger record is dead-lettered
    #[arg(long, env = "RECORD_MAX_BYTES", default_value_t = 16 << 20)]
    pub record_max_bytes: usize,

    /// Longest time that a reading waits for company when the writer is free, in milliseconds
    #[arg(long, env = "LINGER_MS", default_value_t = 5)]
    pub linger_ms: u64,

    /// How the sensors of readings are checked
    #[arg(long, env = "WRITE_FK_CHECK", value_enum, default_value_t = FkCheck::Auto)]
    pub write_fk_check: FkCheck,

    /// How long a database lock may block a writer before a frozen sensorpipe backend that holds it is ended
    #[arg(long, env = "LOCK_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    pub lock_timeout: Duration,

    /// Longest attempt at writing a batch; past it the batch is cut, or, where it is a single record, has longer
    #[arg(long, env = "WRITE_TIMEOUT", default_value = "120s", value_parser = humantime::parse_duration)]
    pub write_timeout: Duration,

    /// What becomes of daily statistics whose readings RETENTION drops
    #[arg(long, env = "RETENTION_STATS", value_enum, default_value_t = RetentionStats::Keep)]
    pub retention_stats: RetentionStats,

    /// How often a worker looks for chunks that RETENTION drops, and for dead letters that are too old
    #[arg(long, env = "RETENTION_INTERVAL", default_value = "1h", value_parser = humantime::parse_duration)]
    pub retention_interval: Duration,

    /// How long dead letters stay: older ones are deleted, and counted; `off` keeps them for ever
    #[arg(long, env = "DEAD_LETTER_RETENTION", default_value = "90days")]
    pub dead_letter_retention: DeadLetterRetention,

    /// Most dead letters that are kept; beyond it they are counted, and Kafka's log alone has them
    #[arg(long, env = "DEAD_LETTER_MAX", default_value_t = 1_000_000)]
    pub dead_letter_max: u64,

    /// Most bytes of dead letters that are kept, rows and index entries included
    #[arg(long, env = "DEAD_LETTER_MAX_BYTES", default_value_t = 1 << 30)]
    pub dead_letter_max_bytes: u64,

    /// How often a worker looks for deleted sensors whose readings are to be deleted
    #[arg(long, env = "SENSOR_DELETION_INTERVAL", default_value = "10s", value_parser = humantime::parse_duration)]
    pub sensor_deletion_interval: Duration,

    /// How often the counts so far are kept, for audits of a log whose beginning is gone
    #[arg(long, env = "CHECKPOINT_INTERVAL", default_value = "30min", value_parser = humantime::parse_duration)]
    pub checkpoint_interval: Duration,

    /// How often a worker looks for days that are over and not kept for charts, the first time after so long
    #[arg(long, env = "KEEP_DAYS_INTERVAL", default_value = "15min", value_parser = humantime::parse_duration)]
    pub keep_days_interval: Duration,

    /// Longest wait for the stored offsets on assignment; then the consumer leaves the group until Postgres answers
    #[arg(long, env = "ASSIGN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub assign_timeout: Duration,

    /// A consumer whose loop does not turn for so long is stuck, which `/healthz` says
    #[arg(long, env = "STUCK_AFTER", default_value = "60s", value_parser = humantime::parse_duration)]
    pub stuck_after: Duration,

    /// Longest wait for in-flight work when partitions are revoked or the process stops
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "15s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
}

impl WorkerConfig {
    /// How many dead letters are kept.
    pub fn dead_letter_bounds(&self) -> DeadLetterBounds {
        DeadLetterBounds { letters: self.dead_letter_max, bytes: self.dead_letter_max_bytes }
    }

    /// How many consumers to run.
    pub fn consumers(&self) -> usize {
        self.consumers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

/// Where a worker starts on a topic of which the database has no offset at all.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the beginning of the log.
    Earliest,
    /// At its end; the resolved offset is kept before anything is consumed.
    Latest,
}

/// How the sensors of readings are checked.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FkCheck {
    /// Once for each batch where the privileges and the triggers of the table allow it, else row by row.
    Auto,
    /// Row by row, by the database's own triggers.
    Row,
}
