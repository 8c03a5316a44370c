use std::time::Duration;

use clap::Args;

use super::DatabaseUrl;

/// What may be asked of the readings, and which database answers.
#[derive(Args, Clone, Debug)]
pub struct QueryConfig {
    /// Postgres URL of a replica that answers statistics and readings; the primary does where not set
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true)]
    pub read_database_url: Option<DatabaseUrl>,

    /// Connections for statistics and readings, besides those of the pool above
    #[arg(long, env = "READ_POOL_SIZE", default_value_t = 10)]
    pub read_pool_size: u32,

    /// Most buckets that one answer may have, over all its sensors
    #[arg(long, env = "QUERY_BUCKETS_MAX", default_value_t = 10_000)]
    pub query_buckets_max: usize,

    /// Most sensors that one query may be about
    #[arg(long, env = "QUERY_SENSORS_MAX", default_value_t = 10_000)]
    pub query_sensors_max: usize,

    /// Most exports (CSV, NDJSON) under way at a time; the next one is told to come again
    #[arg(long, env = "EXPORTS_MAX", default_value_t = 8)]
    pub exports_max: usize,

    /// Longest time that one export may take; it is then cut off so that the client sees it
    #[arg(long, env = "EXPORT_TIMEOUT", default_value = "1h", value_parser = humantime::parse_duration)]
    pub export_timeout: Duration,

    /// How long an export waits for its client to take more, or for the database to come back
    #[arg(long, env = "EXPORT_STALL_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub export_stall_timeout: Duration,

    /// Most of the three bounds on connections that read, exports and event streams that one API key uses at a time, in
    /// percent; the next request of the key is told to come again
    #[arg(long, env = "KEY_SHARE_PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub key_share_percent: u8,

    /// Most event streams (live pages) open at a time; the next one is told to come again
    #[arg(long, env = "EVENT_STREAMS_MAX", default_value_t = 1_000)]
    pub event_streams_max: usize,
}
