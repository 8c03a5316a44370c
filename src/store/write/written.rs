//! What became of a batch.

use std::time::Duration;

use crate::{
    batch::Tally,
    log::{Fence, StoredOffset},
    reading::Reason,
};

/// What became of a batch.
#[derive(Debug)]
pub enum Written {
    /// It is committed.
    Committed(Report),
    /// Nothing was written, for the stored offsets of these partitions are not the ones expected.
    Fenced(Vec<Fence>),
    /// Nothing was written: it is too much for one transaction, and is to be read again in smaller batches.
    TooMuch {
        /// So many readings may fit.
        fits: usize,
        /// Where the batch's partitions stand: each where it was expected.
        stored: Vec<StoredOffset>,
    },
}

/// Outcomes of a committed batch's readings.
#[derive(Debug, Default)]
pub struct Report {
    /// Over all partitions.
    pub total: Tally,
    /// Dead letters by reason.
    pub reasons: Vec<(Reason, u64)>,
    /// What the transaction's time went to.
    pub phases: Phases,
}

/// Time of a transaction's parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Chunks, offsets and sensors: all that comes before the readings.
    pub prepare: Duration,
    /// The readings, dead letters and counts.
    pub copy: Duration,
    /// COMMIT.
    pub commit: Duration,
}
