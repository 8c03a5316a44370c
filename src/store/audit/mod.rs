//! What an audit asks of the database. It only reads, so a role that may read will do; [`checkpoints`] are for others
//! to keep, and [`results`] are kept where the role may.

pub mod checkpoints;
mod look_up;
pub mod results;
mod snapshot;

pub use look_up::LookUp;
pub use snapshot::{AcceptedCut, Snapshot, SnapshotStore, Wanted};
