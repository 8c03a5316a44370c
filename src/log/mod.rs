//! A partition's log and how far of it is stored, and in which database: which log it is, its offsets, and what
//! contradicts. Pure.

mod database_id;
mod fetch_fault;
mod gap;
mod group_use;
mod record_identity;

pub use database_id::DatabaseId;
pub use fetch_fault::{FetchFault, Unreadable};
pub use gap::Gap;
pub use group_use::{BEAT_INTERVAL, Committer, GroupClaim, GroupUse};
pub use record_identity::RecordIdentity;

use crate::reading::untimed::GivenTimes;

/// Which topic's log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The cluster's id.
    pub cluster_id: String,
    /// The topic's name.
    pub topic: String,
    /// The topic's id; another one under the same name means that the topic was recreated.
    pub topic_id: String,
}

/// Which topic it is; its name alone does not say, since another cluster, or a topic that was recreated, has the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicIdentity {
    /// The cluster's id.
    pub cluster_id: String,
    /// The topic's id in base64, as Kafka's tools print it.
    pub topic_id: String,
}

impl Log {
    /// That of a topic which Kafka has told apart from others of its name.
    pub fn new(topic: &str, identity: TopicIdentity) -> Self {
        Self { cluster_id: identity.cluster_id, topic: topic.to_owned(), topic_id: identity.topic_id }
    }
}

/// The first offset that a partition's log still has, and the one that the next record will get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watermarks {
    /// The first offset.
    pub low: i64,
    /// The next offset.
    pub high: i64,
}

/// The stored offset of a partition, and what is stored beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredOffset<B = GivenTimes> {
    /// The partition.
    pub partition: i32,
    /// First offset that is not stored.
    pub next_offset: i64,
    /// The topic that the offset belongs to.
    pub topic_id: String,
    /// The times that readings before it were given last.
    pub given_times: B,
    /// The last record before it; none where that is not known.
    pub last_record: Option<RecordIdentity>,
}

impl<B: PartialEq> StoredOffset<B> {
    /// Whether it is still where it was seen, for all that was known of it then.
    pub fn is_unmoved(&self, seen: &Self) -> bool {
        let Self { partition, next_offset, topic_id, given_times, last_record } = seen;
        (self.partition, self.next_offset) == (*partition, *next_offset)
            && (&self.topic_id, &self.given_times) == (topic_id, given_times)
            && (last_record.is_none() || self.last_record == *last_record)
    }
}

impl<B> StoredOffset<B> {
    /// What it is in contradiction with, if anything: the topic, and the log that it has.
    pub fn gap(&self, topic_id: &str, log: Watermarks) -> Option<Gap> {
        Gap::between(&self.topic_id, self.next_offset, topic_id, log)
    }
}

/// A partition whose stored offset is not the one that a batch expects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence<B = GivenTimes> {
    /// The partition.
    pub partition: i32,
    /// Where it is; none where it has no row any more, as after a restore.
    pub stored: Option<StoredOffset<B>>,
    /// It is where the batch goes, with what the batch stores beside it: an earlier COMMIT has taken effect, and its answer
    /// was lost.
    pub is_written: bool,
}

/// How far a batch takes one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The partition.
    pub partition: i32,
    /// The stored offset that must still be there when the batch is written.
    pub expected: i64,
    /// The stored offset once it is.
    pub next: i64,
}

/// The offset that follows a consumed one: where reading goes on.
///
/// Offsets have gaps, so this says where to read next and never how many records there are.
pub const fn offset_after(offset: i64) -> i64 {
    offset + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_after_a_record() {
        assert_eq!(offset_after(0), 1);
        assert_eq!(offset_after(41), 42);
    }
}
