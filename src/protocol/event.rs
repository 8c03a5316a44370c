//! What a consumer is told.

use super::Proof;
use crate::log::{Fence, FetchFault, Gap, RecordIdentity, StoredOffset, Watermarks};

/// Something that is known now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event<B> {
    /// The group is being joined, for this topic.
    Joined {
        /// The topic's id.
        topic_id: String,
    },
    /// The group gives us these partitions once it is answered with [`super::Action::Assign`].
    Assigned(Vec<i32>),
    /// The group wants these partitions back, and waits for [`super::Action::GiveUp`].
    Revoked(Vec<i32>),
    /// These partitions are gone already; the group still waits for its answer.
    Lost(Vec<i32>),
    /// Where partitions start.
    Starts {
        /// The partitions that were asked for.
        asked: Vec<i32>,
        /// What was found of each.
        starts: Vec<PartitionStart<B>>,
    },
    /// Where partitions start cannot be found out.
    StartOffsetsFailed {
        /// The partitions that were asked for.
        asked: Vec<i32>,
    },
    /// Records of a partition were taken into the batch that fills, as [`super::Run`] says.
    Taken {
        /// The partition.
        partition: i32,
        /// The offset after the last of them.
        next: i64,
        /// The last of them.
        last_record: RecordIdentity,
    },
    /// Some of what has to come first of a partition has come, and nothing was taken yet.
    Proven {
        /// The partition.
        partition: i32,
        /// What is still to come.
        left: Proof,
    },
    /// A record in the place of one that was taken is another one, as [`super::Run`] says.
    Diverged(i32),
    /// Kafka says that a partition holds no record below this offset that is still to come.
    Passed {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// A fetch failed: nothing is known of the records that it was to bring, and none come before the partition is assigned
    /// again.
    FetchFailed {
        /// The partition.
        partition: i32,
        /// What is to be done about it.
        fault: FetchFault,
    },
    /// A partition's position was held against its log, as [`super::Action::Compare`] asked.
    Compared {
        /// The partition.
        partition: i32,
        /// What came of it.
        found: Compared,
    },
    /// A record of this partition came another way than it should: it must be assigned again where it stood.
    Astray(i32),
    /// The batch in flight is in the database.
    Committed,
    /// Nothing of the batch in flight was written: these partitions' stored offsets are not the ones that it expects.
    Fenced(Vec<Fence<B>>),
    /// Nothing of the batch in flight was written, for it is too much. Its partitions are where it expects them: here.
    TooMuch(Vec<StoredOffset<B>>),
    /// The stored offsets of partitions; one that has no row is asked for and not among them.
    StoredOffsetsRead {
        /// The partitions that were asked for.
        asked: Vec<i32>,
        /// Their stored offsets.
        stored: Vec<StoredOffset<B>>,
        /// Whether the database now says of some that they are stalled; none where that was not reported.
        has_reported: Option<bool>,
    },
    /// The stored offsets cannot be read for now.
    StoredOffsetsUnread,
    /// Kafka did not take the offsets that it was told.
    OffsetsNotTaken,
    /// The topic of our name has this id.
    TopicIs(String),
    /// The database does not let this process write, and others may have the right.
    NotPermitted,
    /// The group belongs to another database, whose consumers are members of it.
    GroupIsTaken,
    /// The process stops.
    Stop,
    /// Time has passed, or the batch that fills has come to a bound.
    Turn {
        /// Whether it has.
        is_full: bool,
    },
    /// The consumer cannot go on, and leaves.
    Broken {
        /// The partitions that Kafka's client has for ours.
        assigned: Vec<i32>,
    },
}

/// A partition's stored offset, and why it may not be used, if so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionStart<B> {
    /// The stored offset.
    pub stored: StoredOffset<B>,
    /// What the log has against it.
    pub gap: Option<Gap>,
    /// What was found before, and holds until the stored offset is moved.
    pub kept: Option<Gap>,
    /// The record that would tell whether the log is the one that was stored has expired.
    pub is_unverifiable: bool,
}

impl<B> PartitionStart<B> {
    /// A stored offset beside what the log has, and what was found against it before.
    ///
    /// That the log ended before it is not the last word: by the last record it can be told whether it was cut.
    pub fn new(
        mut stored: StoredOffset<B>,
        topic_id: &str,
        log: Option<Watermarks>,
        found: Option<Gap>,
    ) -> Self {
        let gap = log.and_then(|log| stored.gap(topic_id, log));
        let has_expired = |last: RecordIdentity| log.is_some_and(|log| log.low > last.offset);
        let can_tell = stored.last_record.is_some_and(|last| !has_expired(last));
        let kept = found.filter(|&found| found == Gap::LogDiverged || !can_tell);
        let is_unverifiable = gap.or(kept).is_none() && stored.last_record.is_some_and(has_expired);
        if is_unverifiable {
            stored.last_record = None;
        }
        Self { stored, gap: gap.or(kept), kept, is_unverifiable }
    }
}

/// How a position and the partition's log go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compared {
    /// One goes on from the other, as far as the ends of the log tell.
    NoGap {
        /// The first offset that the log still has.
        low: i64,
    },
    /// They contradict each other.
    Gap(Gap),
    /// Kafka does not say.
    Unknown,
}
