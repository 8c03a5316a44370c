//! A change of the assignment that is under way.

use super::Time;

/// What waits for an answer. The group asks for one thing at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Rebalance {
    /// Nothing.
    #[default]
    None,
    /// The group: for partitions to be ours once it is known where they start.
    Assigning(Vec<i32>),
    /// The group: for partitions to be given up once their readings are committed, or the deadline has passed.
    Revoking {
        /// Which ones.
        partitions: Vec<i32>,
        /// When to give them up come what may.
        deadline: Time,
    },
    /// We ourselves: for where stalled partitions of ours start, whose stored offsets were moved.
    Restarting(Vec<i32>),
}

impl Rebalance {
    /// Whether exactly these partitions wait for where they start.
    pub(super) fn waits_for(&self, asked: &[i32]) -> bool {
        match self {
            Self::Assigning(partitions) | Self::Restarting(partitions) => partitions == asked,
            Self::None | Self::Revoking { .. } => false,
        }
    }

    /// Whether a partition is about to be given up: its records are not taken any more.
    pub(super) fn is_revoking(&self, partition: i32) -> bool {
        match self {
            Self::Revoking { partitions, .. } => partitions.contains(&partition),
            Self::None | Self::Assigning(_) | Self::Restarting(_) => false,
        }
    }
}
