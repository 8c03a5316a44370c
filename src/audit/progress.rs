//! How far an audit has got, in a form that the next process can go on from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Resume, Sums};

/// A partition of which everything before an offset is audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The partition.
    pub partition: i32,
    /// Where to go on.
    pub resume: Resume,
    /// What is audited.
    pub sums: Sums,
}

/// What the last audit of a topic has left, whichever process it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which moment it is about.
    pub taken_at: DateTime<Utc>,
    /// The partitions that another one may go on with.
    pub progress: Vec<Progress>,
    /// Rows that `sensor_data` had too few, where it found that.
    pub rows_missing: Option<i64>,
    /// Whether it had counted them.
    pub rows_counted: bool,
}
