//! The api over a real socket, with real Kafka and TimescaleDB behind it.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod access;
mod chart;
mod chunks;
mod cors;
mod dashboard;
mod dead_letters;
mod documents;
mod early_answers;
mod events;
mod exports;
mod http10;
mod ingest;
mod kept_days;
mod keys;
mod known_sensors;
mod large_deletion;
mod latest;
mod letter_bounds;
mod letter_replays;
mod letter_upkeep;
mod letters;
mod letters_cli;
mod many;
mod migrating;
mod outages;
mod overload;
mod overview;
mod packed;
mod paths;
mod raw;
mod read_pool;
mod readings;
mod receipts;
mod refusals;
mod retries;
mod sensor_deletion;
mod sensors;
mod site;
mod statistics;
mod stats;
mod stats_of_many;
mod stopping;
mod tail;
