//! The api over a real socket, with real Kafka and TimescaleDB behind it.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod documents;
mod ingest;
mod many;
mod outages;
mod overload;
mod packed;
mod receipts;
mod refusals;
mod retries;
mod sensors;
mod site;
mod statistics;
mod stopping;
