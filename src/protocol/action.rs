//! What a consumer wants done.

use crate::log::{Gap, Span, Unreadable};

/// Something to do now. Actions are carried out in the order in which they come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Take no more records of these partitions; what is prefetched stays where it is.
    Hold(Vec<i32>),
    /// Find out where these partitions start, and report it.
    RequestStartOffsets(Vec<i32>),
    /// Read these partitions from these offsets.
    Assign(Vec<(i32, i64)>),
    /// Stop reading these partitions, and drop what is prefetched of them; they stay ours.
    Unassign(Vec<i32>),
    /// Drop what is prefetched of a partition of ours, and read it from this offset.
    Reread(i32, i64),
    /// Give these partitions back to the group, with what is prefetched of them.
    GiveUp(Vec<i32>),
    /// Drop what the batch that fills has of these partitions.
    Discard(Vec<i32>),
    /// What the group assigned was taken.
    Settled,
    /// Hold this position against the partition's log, and report it before anything else.
    Compare {
        /// The partition.
        partition: i32,
        /// The position.
        position: i64,
    },
    /// Report that a partition is stalled until an operator moves its stored offset.
    ReportGap(i32, Gap),
    /// Report that a partition is stalled until it can be read.
    ReportUnreadable(i32, Unreadable),
    /// A fetch failed and is tried again; that is not worth telling yet.
    NoteFailedFetch(i32),
    /// Whether a partition's log is the one it was cannot be told: the record that would tell has expired, or is
    /// corrupt.
    NoteUnverifiable(i32),
    /// Report that a partition that was stalled is read again.
    ReportReadable(i32),
    /// Report that the stored offsets of partitions that were stalled have been moved.
    ReportUnblocked(Vec<i32>),
    /// These partitions are not ours, or start over: they are not stalled any more.
    ClearReports(Vec<i32>),
    /// Write the batch that fills: these are its offsets.
    Write(Vec<Span>),
    /// Write the batch that came back again, without these partitions.
    WriteAgain {
        /// The partitions that it loses.
        without: Vec<i32>,
    },
    /// The batch that came back is done with.
    Recycle,
    /// Read the stored offsets of these partitions, and report them.
    ReadStoredOffsets {
        /// The partitions.
        partitions: Vec<i32>,
        /// The database may say of some that they are stalled, which may be over.
        may_have_reported: bool,
    },
    /// Find out whether the database lets this process write.
    TryWriting,
    /// Tell Kafka these offsets, for those who watch the group there.
    CommitToKafka(Vec<(i32, i64)>),
    /// Report that a partition's stored offset was moved by another process, and to where.
    ReportMoved(i32, i64),
    /// Leave the group.
    Leave {
        /// What it still waits for.
        answer: Option<Answer>,
        /// Offsets to tell it.
        offsets: Vec<(i32, i64)>,
    },
}

/// What is answered to a rebalance that is under way when the group is left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The partitions are taken, wherever they start: nothing of them will be read.
    Assign(Vec<i32>),
    /// The partitions are given up.
    Unassign(Vec<i32>),
}
