//! The table as a whole against the counts.

use serde::Serialize;

/// Sums over everything that was ever ingested, of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TableBooks {
    /// Rows of `sensor_data`.
    pub rows: i64,
    /// Readings counted as stored, over all topics and clusters.
    pub stored: i64,
    /// Rows that went with chunks that retention dropped.
    pub expired: i64,
    /// Rows that went with sensors that were deleted.
    pub sensors_removed: i64,
}

impl TableBooks {
    /// Rows beyond those that are counted; below 0, so many are missing.
    pub fn surplus(&self) -> i64 {
        self.rows - (self.stored - self.expired - self.sensors_removed)
    }
}
