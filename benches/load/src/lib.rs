//! The load generator: what is sent, when, and what came of it.
//!
//! ```text
//! Plan ── record number ──> readings      a pure function of the seed, so a run can be repeated
//! Pace ── record number ──> when          on schedule, whatever the answers take
//! Kafka or HTTP ──────────> Ledger        acknowledged when and where, or failed why
//! the database's offsets ─> Visible       from when on queries show a record
//! ```

mod bulk_producer;
mod config;
mod database;
mod http;
mod kafka;
mod latency;
mod ledger;
mod pace;
mod plan;
mod progress;
mod report;
mod run;
mod verify;
mod visible;

pub use config::LoadConfig;
pub use plan::Plan;
pub use run::run;
