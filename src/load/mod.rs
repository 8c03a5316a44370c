//! The load generator: what is sent, when, and what came of it.
//!
//! ```text
//! Plan ── record number ──> readings      a pure function of the seed, so a run can be repeated
//! Pace ── record number ──> when          on schedule, whatever the answers take
//! Kafka or HTTP ──────────> Ledger        acknowledged when and where, or failed why
//! the database's offsets ─> Visible       from when on queries show a record
//! ```

pub mod http;
mod kafka;
mod latency;
mod ledger;
mod pace;
mod plan;
mod progress;
mod report;
mod visible;

pub use kafka::send_to_kafka;
pub use latency::Latencies;
pub use ledger::{Ledger, Outcome, Sent, Tag};
pub use pace::Pace;
pub use plan::{CHECKSUM_MODULUS, CHECKSUM_SENSOR_FACTOR, Expected, Found, Plan, SensorReadings};
pub use progress::Progress;
pub use report::{Report, Run, Verified};
pub use visible::Sightings;
