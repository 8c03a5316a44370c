//! Configuration: one struct per component, each field a flag, an environment variable and a default.
//!
//! A field whose variable begins with `SENSORPIPE_TEST_` (flag `--test-…`, hidden from `--help`) is for tests, which would
//! take hours or gigabytes otherwise: no promise. Users have its default, whose reason its comment gives; what was a setting
//! once is named in [`retired`].

mod admission;
mod audit;
mod connections;
mod cors;
mod database_url;
mod dead_letters;
mod duration_text;
mod environment;
#[cfg(test)]
pub(crate) mod given_words;
mod hosts;
mod kafka_settings;
mod keys;
mod offsets;
mod queries;
mod retention_period;
mod retired;
mod rollups;
mod secrets;
mod settings;
mod shared;
mod stats;
mod switch;
mod worker;

use std::{net::SocketAddr, time::Duration};

use clap::Args;

#[cfg(test)]
pub(crate) use self::kafka_settings::{ALIASES, GUARDED};
pub use self::{
    admission::AdmissionConfig,
    audit::{AuditConfig, AuditFormat, AuditPaceConfig, BackgroundAudit, BackgroundAuditConfig},
    connections::ConnectionConfig,
    cors::CorsOrigin,
    database_url::{DatabaseUrl, UrlParts},
    dead_letters::{
        DeadLetterBounds, DeadLetterFilterConfig, DeadLetterFormat, DeadLettersCommand, DiscardConfig,
        ForwardingConfig, ForwardsToItself, ListDeadLetters, ListNotKept, ReplayConfig, ShowDeadLetter,
    },
    environment::{explained, load_env_file, without_empty_variables},
    hosts::AllowedHost,
    kafka_settings::{InvalidVariables, KafkaSettings, KafkaVariables, is_guarded, property},
    keys::{CreateKey, KeysCommand, ListKeys, RevokeKey},
    offsets::{
        AcceptConfig, AcceptTopic, ListFormat, ListOffsets, MoveNote, OffsetsCommand, ReplayFrom,
        ReplayLogConfig,
    },
    queries::QueryConfig,
    retention_period::RetentionPeriod,
    retired::{retired_settings, settings_for_tests},
    rollups::{RetentionStats, Rollups},
    settings::{SettingsCommand, SettingsConfig},
    shared::{
        Assignment, GivenSettings, IngestConfig, InvalidValue, RunningSettings, Setting, SettingsError,
        StoredValue, description, from_database,
    },
    stats::{RebuildConfig, StatsCommand},
    worker::{BATCH_MAX_BYTES, FkCheck, RECORD_MAX_BYTES, Start, WorkerConfig},
};

/// Where the database is.
#[derive(Args, Clone, Debug)]
pub struct DatabaseConfig {
    /// Postgres URL; `?sslmode=require` for managed Postgres; several hosts, separated by commas, of which the primary is taken
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "postgres://sensorpipe@127.0.0.1:15432/sensorpipe"
    )]
    pub database_url: DatabaseUrl,

    /// Connections that serve queries, and as many again for statistics and readings; ingestion has its own
    #[arg(long, env = "DATABASE_POOL_SIZE", default_value_t = 10)]
    pub database_pool_size: u32,

    /// Longest time that one query of the api may take
    #[arg(long, env = "STATEMENT_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub statement_timeout: Duration,
}

/// Where Kafka is, and which topic and group are ours.
#[derive(Args, Clone, Debug)]
pub struct KafkaConfig {
    /// Bootstrap brokers, `host:port`, comma-separated
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:19092")]
    pub kafka_brokers: String,

    /// Topic that carries the readings
    #[arg(long, env = "KAFKA_TOPIC", default_value = "sensor-readings")]
    pub kafka_topic: String,

    /// Consumer group of the workers; one group per database and topic
    #[arg(long, env = "KAFKA_GROUP", default_value = "sensorpipe")]
    pub kafka_group: String,

    /// Compacted topic that has each sensor as it was made; `KAFKA_TOPIC`, `KAFKA_GROUP` and `sensors`, joined by hyphens,
    /// where not set
    #[arg(long = "test-kafka-sensors-topic", env = "SENSORPIPE_TEST_KAFKA_SENSORS_TOPIC", hide = true)]
    pub kafka_sensors_topic: Option<String>,
}

impl KafkaConfig {
    /// The topic of the sensors, for a client that knows one topic.
    #[must_use]
    pub fn of_sensors(&self) -> Self {
        let default = || format!("{}-{}-sensors", self.kafka_topic, self.kafka_group);
        let kafka_topic = self.kafka_sensors_topic.clone().unwrap_or_else(default);
        Self { kafka_topic, ..self.clone() }
    }
}

/// The topic as `migrate` makes it where it is missing; an existing topic is never altered.
#[derive(Args, Clone, Debug)]
pub struct TopicConfig {
    /// Partitions of the topic
    #[arg(long, env = "KAFKA_PARTITIONS", default_value_t = 12)]
    pub kafka_partitions: i32,

    /// Copies of each partition; `min.insync.replicas` is a majority of them
    #[arg(long, env = "KAFKA_REPLICATION", default_value_t = 1)]
    pub kafka_replication: i32,

    /// How long Kafka keeps a reading
    #[arg(long, env = "KAFKA_RETENTION", default_value = "7days", value_parser = humantime::parse_duration)]
    pub kafka_retention: Duration,
}

/// What `migrate` may choose in the schema.
#[derive(Args, Clone, Debug)]
pub struct SchemaConfig {
    /// Time that one chunk of the hypertable covers; applies to a hypertable that `migrate` makes
    #[arg(long, env = "CHUNK_INTERVAL", default_value = "7days", value_parser = humantime::parse_duration)]
    pub chunk_interval: Duration,

    /// Drop an adopted hypertable's index on time alone: no query here needs it, and each row pays for it
    #[arg(long, env = "DROP_TIME_INDEX", value_parser = switch::switch)]
    pub drop_time_index: bool,

    /// Have chunks compressed that are older than this, where TimescaleDB's edition can; not at all where not set
    #[arg(long, env = "COMPRESS_AFTER", value_parser = humantime::parse_duration)]
    pub compress_after: Option<Duration>,
}

/// The HTTP front end.
#[derive(Args, Clone, Debug)]
pub struct HttpConfig {
    /// Address to listen on
    #[arg(long, env = "HTTP_ADDR", default_value = "127.0.0.1:8080")]
    pub http_addr: SocketAddr,

    /// Listen on an address that others can reach even while there are no API keys
    #[arg(long, env = "ALLOW_ANONYMOUS", value_parser = switch::switch)]
    pub allow_anonymous: bool,

    /// Names by which clients call the api while there are no API keys, comma-separated, or `*`; `localhost` and loopback
    /// addresses need not be named, with `ALLOW_ANONYMOUS` no address need be
    #[arg(long, env = "HTTP_ALLOWED_HOSTS", value_delimiter = ',')]
    pub http_allowed_hosts: Vec<AllowedHost>,

    /// Origins whose pages may call the api from a browser, comma-separated, or `*`; none where not set
    #[arg(long, env = "CORS_ALLOW_ORIGINS", value_delimiter = ',')]
    pub cors_allow_origins: Vec<CorsOrigin>,

    /// Largest request body, in bytes
    #[arg(long, env = "HTTP_MAX_BODY_BYTES", default_value_t = 16 << 20)]
    pub http_max_body_bytes: usize,

    /// Longest time that a request may take: less than proxies and clients usually wait
    #[arg(long = "test-http-request-timeout", env = "SENSORPIPE_TEST_HTTP_REQUEST_TIMEOUT", hide = true, default_value = "30s", value_parser = humantime::parse_duration)]
    pub http_request_timeout: Duration,

    /// Longest wait for Kafka's acknowledgement of a reading, a change of a partition's leader included; then 503
    #[arg(long = "test-publish-timeout", env = "SENSORPIPE_TEST_PUBLISH_TIMEOUT", hide = true, default_value = "5s", value_parser = humantime::parse_duration)]
    pub publish_timeout: Duration,

    /// Most sensor ids that the api remembers as known; others are looked up
    #[arg(
        long = "test-known-sensors-max",
        env = "SENSORPIPE_TEST_KNOWN_SENSORS_MAX",
        hide = true,
        default_value_t = 1_000_000
    )]
    pub known_sensors_max: u64,

    /// How many connections there may be
    #[command(flatten)]
    pub connections: ConnectionConfig,
    /// How much is taken on at a time
    #[command(flatten)]
    pub admission: AdmissionConfig,
    /// What may be asked of the readings
    #[command(flatten)]
    pub queries: QueryConfig,
}

/// Where a worker's `/metrics` and health are served.
#[derive(Args, Clone, Debug)]
pub struct MetricsConfig {
    /// Address for `/metrics`, `/healthz` and `/readyz` of a worker; off where not set
    #[arg(long, env = "METRICS_ADDR")]
    pub metrics_addr: Option<SocketAddr>,
}

/// How logs look.
#[derive(Args, Clone, Debug)]
pub struct LogConfig {
    /// Filter, such as `info` or `sensorpipe=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true)]
    pub log_level: String,

    /// Text for people or JSON for machines
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A readable line.
    Text,
    /// A JSON object.
    Json,
}
