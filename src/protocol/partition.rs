//! A partition that is ours, and how far it is.

use super::{proof::Proof, reread::Reread};
use crate::log::{RecordIdentity, StoredOffset};

/// A partition of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Partition<B> {
    /// The stored offset once all that has been taken is committed; the next batch expects it.
    pub(super) position: i64,
    /// What goes with the position.
    pub(super) given_times: B,
    /// The last record before the position.
    pub(super) last_record: Option<RecordIdentity>,
    /// What is still to show that the log is the one whose records were taken.
    pub(super) proof: Proof,
    /// The stored offset as last read or committed.
    pub(super) stored: i64,
    /// The stored offset that Kafka was told last.
    pub(super) told: Option<i64>,
    /// Kafka says that no record below is still to come.
    pub(super) passed: i64,
    pub(super) phase: Phase<B>,
}

/// Whether a partition is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase<B> {
    /// It is.
    Reading,
    /// A fetch failed; it is read again from its position.
    Failed(Reread),
    /// Its log contradicts its position: it is not, until this stored offset is moved.
    Blocked(StoredOffset<B>),
}

impl<B> Partition<B> {
    /// One that starts, or starts over, at its stored offset.
    pub(super) fn at(stored: StoredOffset<B>) -> Self {
        let StoredOffset { next_offset, given_times, last_record, .. } = stored;
        Self {
            position: next_offset,
            given_times,
            last_record,
            proof: Proof::by(last_record),
            stored: next_offset,
            told: None,
            passed: next_offset,
            phase: Phase::Reading,
        }
    }

    /// Goes back, or on, to where its stored offset was moved.
    pub(super) fn start_over(&mut self, stored: StoredOffset<B>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Reading);
        *self = Self { phase, ..Self::at(stored) };
    }

    /// One that cannot be read from its stored offset.
    pub(super) fn blocked_at(stored: StoredOffset<B>) -> Self
    where
        B: Clone,
    {
        Self { phase: Phase::Blocked(stored.clone()), ..Self::at(stored) }
    }

    /// Has it be read again: the offset at which that begins, which is that of the last record where one is known.
    pub(super) fn read_again(&mut self) -> i64 {
        self.proof = Proof::by(self.last_record);
        // Said of a log that may have been cut since.
        self.passed = self.position;
        self.proof.begins_at().unwrap_or(self.position)
    }

    /// What its stored offset is once all that was taken is committed.
    pub(super) fn stored_by_then(&self, partition: i32, topic_id: &str) -> StoredOffset<B>
    where
        B: Clone,
    {
        StoredOffset {
            partition,
            next_offset: self.position,
            topic_id: topic_id.to_owned(),
            given_times: self.given_times.clone(),
            last_record: self.last_record,
        }
    }

    /// Whether Kafka is told of it: not where its stored offset was of no use from the start.
    pub(super) fn is_committed_to_kafka(&self, topic_id: &str) -> bool {
        match &self.phase {
            Phase::Reading | Phase::Failed(_) => true,
            Phase::Blocked(seen) => seen.topic_id == topic_id && self.told.is_some(),
        }
    }

    /// Whether it is read, or will be without anybody's doing.
    pub(super) fn is_read(&self) -> bool {
        match self.phase {
            Phase::Reading | Phase::Failed(_) => true,
            Phase::Blocked(_) => false,
        }
    }
}
