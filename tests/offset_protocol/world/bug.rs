//! Mistakes that are made on purpose, each of them around the state machine: what a shell, a writer or a database does
//! that keeps to another protocol.

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bug {
    /// Readings commit first, the offsets in a transaction of their own after them.
    OffsetsAfterTheReadings,
    /// The offsets commit first, the readings after them.
    OffsetsBeforeTheReadings,
    /// The offset is set, whatever it was.
    NoCompareAndSet,
    /// Nobody looks whether the compare-and-set has found every offset where it was expected.
    FenceIgnored,
    /// What was taken of a partition stays in the batch, though the partition is gone or starts over.
    BatchKeptAcrossRevocation,
    /// A COMMIT without an answer counts as one that failed: the batch is written again, from wherever the offset is.
    UnknownCommitTakenForFailed,
    /// A stored offset is used though the log begins after it.
    GapNotChecked,
    /// Nobody looks whether the record before a stored offset is the one that was stored.
    LastRecordNotCompared,
    /// What a worker found a log to have against a stored offset is not kept for others.
    FoundGapForgotten,
    /// A fetch that failed moves the position past the record that it was to bring.
    FailedFetchCountsAsRead,
    /// After a failed fetch the next record that comes is taken, though it is not the next one.
    FailedFetchIsNotReadAgain,
    /// Nobody ends the session of a frozen worker that holds locks.
    NobodyEndsTheFrozen,
    /// A consumer that has nothing to write does not look at the stored offsets.
    NobodyLooks,
}

impl Bug {
    pub(crate) const ALL: [Self; 13] = [
        Self::OffsetsAfterTheReadings,
        Self::OffsetsBeforeTheReadings,
        Self::NoCompareAndSet,
        Self::FenceIgnored,
        Self::BatchKeptAcrossRevocation,
        Self::UnknownCommitTakenForFailed,
        Self::GapNotChecked,
        Self::LastRecordNotCompared,
        Self::FoundGapForgotten,
        Self::FailedFetchCountsAsRead,
        Self::FailedFetchIsNotReadAgain,
        Self::NobodyEndsTheFrozen,
        Self::NobodyLooks,
    ];
}
