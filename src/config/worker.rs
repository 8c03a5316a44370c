//! How consumers batch and write, and what a worker does beside it.

use std::time::Duration;

use clap::Args;

use super::{DeadLetterBounds, RetentionPeriod};

/// Most bytes of records in one transaction. 50,000 readings, one in a record, are 4 MB: it bounds what a batch of larger
/// records takes of memory, and the database's time for it.
pub const BATCH_MAX_BYTES: usize = 8 << 20;
/// Most bytes of one record's value; a larger record is dead-lettered. Brokers take 1 MiB unless told otherwise; whoever
/// raises that may send records of many readings, and a record is decoded and stored as a whole.
pub const RECORD_MAX_BYTES: usize = 16 << 20;

/// The pool of consumers.
#[derive(Args, Clone, Debug)]
pub struct WorkerConfig {
    /// Consumers in this process, each with a database connection of its own; the cores where not set
    #[arg(long, env = "CONSUMERS")]
    pub consumers: Option<usize>,

    /// Where to start on a topic that the database has never seen: its beginning, or its end
    #[arg(long, env = "START", value_enum, default_value_t = Start::Earliest)]
    pub start: Start,

    /// Most readings in one transaction: larger ones are no faster, and take longer to be written again after a failure
    #[arg(
        long = "test-batch-max-readings",
        env = "SENSORPIPE_TEST_BATCH_MAX_READINGS",
        hide = true,
        default_value_t = 50_000
    )]
    pub batch_max_readings: usize,

    /// Longest time that a reading waits for company when the writer is free, in milliseconds; under load batches grow by
    /// themselves, for what arrives while one is written is the next one
    #[arg(long = "test-linger-ms", env = "SENSORPIPE_TEST_LINGER_MS", hide = true, default_value_t = 5)]
    pub linger_ms: u64,

    /// How the sensors of readings are checked: at once where the role may, see README
    #[arg(long = "test-write-fk-check", env = "SENSORPIPE_TEST_WRITE_FK_CHECK", hide = true, value_enum, default_value_t = FkCheck::Auto)]
    pub write_fk_check: FkCheck,

    /// How long a database lock may block a writer before a frozen sensorpipe backend that holds it is ended: locks of
    /// others that a writer meets are held for milliseconds
    #[arg(long = "test-lock-timeout", env = "SENSORPIPE_TEST_LOCK_TIMEOUT", hide = true, default_value = "2s", value_parser = humantime::parse_duration)]
    pub lock_timeout: Duration,

    /// Longest attempt at writing a batch, far more than a full one takes; past it the batch is cut, or, where it
    /// is a single record, has longer
    #[arg(long = "test-write-timeout", env = "SENSORPIPE_TEST_WRITE_TIMEOUT", hide = true, default_value = "120s", value_parser = humantime::parse_duration)]
    pub write_timeout: Duration,

    /// How often a worker looks for chunks that RETENTION drops, and for dead letters that are too old: chunks cover days
    #[arg(long = "test-retention-interval", env = "SENSORPIPE_TEST_RETENTION_INTERVAL", hide = true, default_value = "1h", value_parser = humantime::parse_duration)]
    pub retention_interval: Duration,

    /// How long dead letters stay: older ones are deleted, and counted; `off` keeps them for ever
    #[arg(long, env = "DEAD_LETTER_RETENTION", default_value = "90days")]
    pub dead_letter_retention: RetentionPeriod,

    /// Most dead letters that are kept; beyond it they are counted, and Kafka's log alone has them
    #[arg(long, env = "DEAD_LETTER_MAX", default_value_t = 1_000_000)]
    pub dead_letter_max: u64,

    /// Most bytes of dead letters that are kept, rows and index entries included: a million small ones
    #[arg(long = "test-dead-letter-max-bytes", env = "SENSORPIPE_TEST_DEAD_LETTER_MAX_BYTES", hide = true, default_value_t = 1 << 30)]
    pub dead_letter_max_bytes: u64,

    /// How often a worker looks for deleted sensors whose readings are to be deleted; nobody sees these meanwhile
    #[arg(long = "test-sensor-deletion-interval", env = "SENSORPIPE_TEST_SENSOR_DELETION_INTERVAL", hide = true, default_value = "10s", value_parser = humantime::parse_duration)]
    pub sensor_deletion_interval: Duration,

    /// How often the counts so far are kept, for audits of a log whose beginning is gone: so much of a log an audit may
    /// be unable to compare
    #[arg(long = "test-checkpoint-interval", env = "SENSORPIPE_TEST_CHECKPOINT_INTERVAL", hide = true, default_value = "30min", value_parser = humantime::parse_duration)]
    pub checkpoint_interval: Duration,

    /// How often a worker looks for days that are over and not kept for charts, the first time after so long; until
    /// they are kept they are computed for each request
    #[arg(long = "test-rollup-interval", env = "SENSORPIPE_TEST_ROLLUP_INTERVAL", hide = true, default_value = "15min", value_parser = humantime::parse_duration)]
    pub rollup_interval: Duration,

    /// Longest wait for the stored offsets on assignment, well within the time that Kafka gives a rebalance; then the
    /// consumer leaves the group until Postgres answers
    #[arg(long = "test-assign-timeout", env = "SENSORPIPE_TEST_ASSIGN_TIMEOUT", hide = true, default_value = "10s", value_parser = humantime::parse_duration)]
    pub assign_timeout: Duration,

    /// A consumer whose loop does not turn for so long is stuck, which `/healthz` says; else it turns several times a second
    #[arg(long = "test-stuck-after", env = "SENSORPIPE_TEST_STUCK_AFTER", hide = true, default_value = "60s", value_parser = humantime::parse_duration)]
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
