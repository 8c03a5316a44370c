use std::time::Duration;

use clap::Args;

use super::DatabaseUrl;

/// What may be asked of the readings, and which database answers.
#[derive(Args, Clone, Debug)]
pub struct QueryConfig {
    /// Postgres URL of a replica that answers statistics and readings; the primary does where not set
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true)]
    pub read_database_url: Option<DatabaseUrl>,

    /// Most buckets that one answer may have, over all its sensors, as many as a chart has use for
    #[arg(
        long = "test-query-buckets-max",
        env = "SENSORPIPE_TEST_QUERY_BUCKETS_MAX",
        hide = true,
        default_value_t = 10_000
    )]
    pub query_buckets_max: usize,

    /// Most sensors that one query may be about: each is an answer's row at least
    #[arg(
        long = "test-query-sensors-max",
        env = "SENSORPIPE_TEST_QUERY_SENSORS_MAX",
        hide = true,
        default_value_t = 10_000
    )]
    pub query_sensors_max: usize,

    /// Most exports (CSV, NDJSON) under way at a time, fewer than there are connections to read with by default; the next
    /// one is told to come again
    #[arg(long = "test-exports-max", env = "SENSORPIPE_TEST_EXPORTS_MAX", hide = true, default_value_t = 8)]
    pub exports_max: usize,

    /// How long an export waits for its client to take more, or for the database to come back: a restart of Postgres
    #[arg(long = "test-export-stall-timeout", env = "SENSORPIPE_TEST_EXPORT_STALL_TIMEOUT", hide = true, default_value = "30s", value_parser = humantime::parse_duration)]
    pub export_stall_timeout: Duration,

    /// Most of the three bounds on connections that read, exports and event streams that one API key uses at a time, in
    /// percent; the next request of the key is told to come again
    #[arg(long, env = "KEY_SHARE_PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub key_share_percent: u8,

    /// Most event streams (live pages) open at a time, a quarter of the connections by default; the next one is told to
    /// come again
    #[arg(
        long = "test-event-streams-max",
        env = "SENSORPIPE_TEST_EVENT_STREAMS_MAX",
        hide = true,
        default_value_t = 1_000
    )]
    pub event_streams_max: usize,
}
