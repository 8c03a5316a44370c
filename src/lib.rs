//! sensorpipe: sensor readings from HTTP and Kafka into TimescaleDB, each stored exactly once.
//!
//! Data moves one way:
//!
//! ```text
//! http ──> kafka ──> pipeline ──> store ──> http
//! POST     producer   decode       one        statistics
//!          consumer   batch        transaction
//! ```
//!
//! | module | what it holds | what it uses of the others |
//! |---|---|---|
//! | [`version`] | the version, and how it was built | nothing |
//! | [`reading`] | a reading, its limits, its fates; decode and encode | nothing |
//! | [`access`] | tokens and what a key allows | nothing |
//! | [`reminder`] | what is said again only now and then | nothing |
//! | [`panics`] | what a panic says | nothing |
//! | [`log`] | which log a partition's is, its offsets, and what contradicts them | `reading` |
//! | [`protocol`] | what a consumer decides, as a state machine | `log` |
//! | [`batch`] | what one transaction will hold: rows, rejects, offsets | `log`, `reading` |
//! | [`buckets`] | time in buckets: where they begin in a zone's calendar, what fills gaps | `reading` |
//! | [`audit`] | what the log holds against what the database says of it | `batch`, `log`, `reading` |
//! | [`seed`] | the readings of the guide's example | `reading` |
//! | [`registry`] | which sensors there are, as their own topic says; who has an id | nothing |
//! | [`health`] | what `/readyz` shows, said by the parts themselves | `reading` |
//! | [`durability`] | settings of Kafka and Postgres by which what was acknowledged may be lost | nothing |
//! | [`metrics`] | every metric: its name, help, labels, buckets | `audit`, `durability`, `health`, `reading`, `version` |
//! | [`config`] | every setting, from arguments and environment | `access`, `audit`, `reading` |
//! | [`log_level`] | which lines are logged, while it runs | `reminder` |
//! | [`kafka`] | producer, consumer, rebalance events, the topic; the only place that names `rdkafka` | `batch`, `config`, `durability`, `health`, `log`, `metrics`, `reading`, `registry`, `reminder` |
//! | [`store`] | every line of SQL of the service; the exactly-once transaction; the only place that names `sqlx` | `access`, `audit`, `batch`, `buckets`, `config`, `durability`, `health`, `log`, `metrics`, `reading`, `registry`, `reminder`, `seed` |
//! | [`traces`] | spans of requests and batches, and their way to a collector | `batch`, `reading`, `store` |
//! | [`pipeline`] | the shell around the protocol: the consumer's loop and its writer | `batch`, `config`, `health`, `kafka`, `log`, `metrics`, `panics`, `protocol`, `reading`, `store`, `traces` |
//! | [`http`] | routes, validation, documents; the only place that names `axum` | `access`, `buckets`, `config`, `durability`, `health`, `kafka`, `log`, `log_level`, `metrics`, `reading`, `registry`, `reminder`, `store`, `traces`, `version` |
//! | [`app`] | which tasks a role runs and in which order they stop | `access`, `audit`, `batch`, `config`, `durability`, `health`, `http`, `kafka`, `log`, `log_level`, `metrics`, `panics`, `pipeline`, `protocol`, `reading`, `registry`, `reminder`, `seed`, `store`, `traces` |
//!
//! A module uses what is above it; `dev/architecture-check` holds all of them to the table. From [`reading`] to [`audit`] they
//! are pure: they know neither I/O nor the time.
//!
//! Invariants:
//!
//! - A batch's readings, dead letters, counts and offsets commit in one transaction, or none of them does.
//! - An offset moves only by compare-and-set in that transaction; Kafka's own offsets are advisory.
//! - It moves only by what was read, or past what Kafka itself says holds no record ([`kafka::Fetched::End`]). After an
//!   error nothing follows from the client's position: the partition is read again from where it was read up to.
//! - A log is known by the last record that was taken of it: reading goes on from that record, and where another one is in
//!   its place the log was cut and has grown again ([`protocol::Proof`]).
//! - Every reading meets exactly one fate: stored, duplicate, or dead-lettered with a [`reading::Reason`].
//! - The time of a reading without a timestamp is a function of the log: [`reading::untimed`].
//! - What contradicts the log is stalled until a person moves it; each such move is recorded as it commits.
//! - A partition that cannot be read is stalled, by name, until it can.
//! - The loop that owns a consumer's state is the only one that changes it.
//! - Nothing that runs for as long as its role ends unnoticed: the process ends with it, and names it.
//! - A background job that fails or panics is logged, counted and run again; it ends nothing.
//! - No consumer is in the group while the database refuses what it would write.

pub mod access;
pub mod app;
pub mod audit;
pub mod batch;
pub mod buckets;
pub mod config;
pub mod durability;
pub mod health;
pub mod http;
pub mod kafka;
pub mod log;
pub mod log_level;
pub mod metrics;
mod panics;
pub mod pipeline;
pub mod protocol;
pub mod reading;
pub mod registry;
mod reminder;
pub mod seed;
pub mod store;
pub mod traces;
pub mod version;
