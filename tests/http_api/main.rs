//! The api over a real socket, with real Kafka and TimescaleDB behind it.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod chunks;
mod documents;
mod exports;
mod ingest;
mod latest;
mod outages;
mod read_pool;
mod readings;
mod refusals;
mod sensors;
mod site;
mod statistics;
mod stats;
mod stats_of_many;
mod stopping;
