//! How far the partitions are, for those who tell people.

use super::{State, partition::Phase};
use crate::log::{RecordIdentity, Span, StoredOffset};

/// A partition of ours, and how far it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partition.
    pub partition: i32,
    /// First offset that is not stored.
    pub stored: i64,
}

impl<B: Clone + Default + PartialEq> State<B> {
    /// All partitions that are ours, also those that are stalled.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        self.partitions.iter().map(|(&partition, held)| {
            let is_of_another_log = match &held.phase {
                Phase::Reading | Phase::Failed(_) => false,
                Phase::Blocked(seen) => seen.topic_id != self.topic_id,
            };
            // All of a topic that was recreated is still to be stored.
            Standing { partition, stored: if is_of_another_log { 0 } else { held.stored } }
        })
    }

    /// How many partitions are read.
    pub fn read_partitions(&self) -> usize {
        self.partitions.values().filter(|held| held.is_read()).count()
    }

    /// The offsets of the batch that the writer has.
    pub fn in_flight(&self) -> &[Span] {
        self.in_flight.as_slice()
    }

    /// Where a partition goes on; none where it is not ours.
    pub fn position(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition).map(|held| held.position)
    }

    /// The last record before the position of a partition, where that is known.
    pub fn last_record(&self, partition: i32) -> Option<RecordIdentity> {
        self.partitions.get(&partition)?.last_record
    }

    /// The stored offset that a partition is stalled at until somebody moves it; none where it is not.
    pub fn blocked_at(&self, partition: i32) -> Option<&StoredOffset<B>> {
        match &self.partitions.get(&partition)?.phase {
            Phase::Reading | Phase::Failed(_) => None,
            Phase::Blocked(seen) => Some(seen),
        }
    }

    /// What goes with the position of a partition.
    pub fn given_times(&self, partition: i32) -> Option<&B> {
        self.partitions.get(&partition).map(|held| &held.given_times)
    }

    /// The same, for the records that are taken next.
    pub fn given_times_mut(&mut self, partition: i32) -> Option<&mut B> {
        self.partitions.get_mut(&partition).map(|held| &mut held.given_times)
    }
}
