//! From records to batches to the database; names neither `rdkafka` nor `sqlx`.
//!
//! Each consumer is a thread and a task:
//!
//! ```text
//! thread `Session`: poll the group · drain the partitions' queues · decode into the filling batch
//!        │ the filled batch, whenever the writer is free        ▲ what became of it
//!        ▼                                                      │
//! task `writer`:   one transaction · retried with backoff · lock holders that are frozen ended
//! ```
//!
//! At most one batch is being written and one is filling, so memory has a bound and decoding overlaps writing.
//! The thread alone changes the assignment, and it never waits for the database.

mod absences;
mod assignment;
mod batch_size;
mod gap;
mod lag;
mod leaving;
mod look;
mod member;
mod outage;
mod ownership;
mod permission;
mod rebalance;
mod rereads;
mod session;
mod stalled;
mod starts;
mod unreadable;
mod writer;

pub use absences::Absences;
pub use gap::Gap;
pub use member::{Member, MemberConfig, MemberError};
pub use outage::Outage;
pub use permission::FirstTrial;
pub use stalled::{Stall, StalledPartitions};
pub use starts::Log;
