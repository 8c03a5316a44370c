//! How many readings met which fate.

use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// Readings by fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Inserted, or overwriting under that policy's first insert.
    pub stored: i64,
    /// There already.
    pub duplicates: i64,
    /// Set aside with a reason.
    pub dead_lettered: i64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.dead_lettered += other.dead_lettered;
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            stored: self.stored - other.stored,
            duplicates: self.duplicates - other.duplicates,
            dead_lettered: self.dead_lettered - other.dead_lettered,
        }
    }
}

/// Readings of one partition by fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionTally {
    /// The partition.
    pub partition: i32,
    /// Its readings' fates.
    pub tally: Tally,
}
