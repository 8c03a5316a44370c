//! The api over a real socket, with real Kafka and TimescaleDB behind it.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod documents;
mod ingest;
mod kept_days;
mod outages;
mod refusals;
mod sensors;
mod site;
mod statistics;
mod stopping;
