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
//! What the thread does is decided by [`crate::protocol::State`]: the session reports what happens, and carries out what
//! comes of it. It never waits for the database.

mod absences;
mod actions;
mod batch_size;
mod group_claim;
mod group_watch;
mod housekeeping;
mod intake;
mod lag;
mod leaving;
mod member;
mod memberships;
mod outage;
mod permission;
mod questions;
mod session;
mod stalled;
mod start_offsets;
mod writer;

pub use absences::Absences;
pub use group_watch::GroupWatch;
pub use member::{Member, MemberConfig, MemberError};
pub use outage::Outage;
pub use permission::FirstTrial;
pub use stalled::{Stall, StalledPartitions};
