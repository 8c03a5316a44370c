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
//! | module | what it holds | what it never touches |
//! |---|---|---|
//! | [`reading`] | a reading, its limits, its fates; decode and encode | I/O, the clock |
//! | [`batch`] | what one transaction will hold: rows, rejects, offsets | I/O, the clock |
//! | [`audit`] | what the log holds against what the database says of it | I/O, the clock |
//! | [`buckets`] | time in buckets: where they begin in a zone's calendar, what fills gaps | I/O, the clock |
//! | [`http`] | routes, validation, documents | SQL, librdkafka |
//! | [`kafka`] | producer, consumer, rebalance events, the topic | SQL, HTTP |
//! | [`pipeline`] | batch, assignment, the consumer's loop and its writer | the names `rdkafka`, `sqlx`, `axum` |
//! | [`store`] | every line of SQL; the exactly-once transaction | Kafka, HTTP |
//! | [`load`] | what the load generator sends, when, and what came of it | SQL, librdkafka |
//! | [`access`] | tokens and what a key allows | I/O |
//! | [`health`] | what `/readyz` shows, said by the parts themselves | I/O |
//! | [`metrics`] | every metric: its name, help, labels, buckets | what they are recorded for |
//! | [`traces`] | spans of requests and batches, and their way to a collector | what they are made for |
//! | [`app`] | which tasks a role runs and in which order they stop | everything else |
//!
//! Invariants:
//!
//! - A batch's readings, dead letters, counts and offsets commit in one transaction, or none of them does.
//! - An offset moves only by compare-and-set in that transaction; Kafka's own offsets are advisory.
//! - It moves only by what was read, or past what Kafka itself says holds no record ([`kafka::Fetched::End`]). After an
//!   error nothing follows from the client's position: the partition is read again from where it was read up to.
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
pub mod health;
pub mod http;
pub mod kafka;
pub mod load;
pub mod log_level;
pub mod metrics;
mod panics;
pub mod pipeline;
pub mod reading;
mod reminder;
pub mod seed;
pub mod store;
pub mod traces;
pub mod version;
