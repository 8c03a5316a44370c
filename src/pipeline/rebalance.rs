//! A change of the assignment that is under way. Pure apart from the instants it is given.

use std::time::Instant;

/// What the group asked for and has not been answered yet; the group asks for one thing at a time.
#[derive(Debug, Default)]
pub(super) enum Rebalance {
    /// Nothing.
    #[default]
    None,
    /// Partitions to be ours once their offsets are known.
    Assigning(Vec<i32>),
    /// Partitions to give up once their readings are committed, or the deadline has passed.
    Revoking {
        /// Which ones.
        partitions: Vec<i32>,
        /// When to give them up come what may.
        deadline: Instant,
    },
}

impl Rebalance {
    /// The partitions to give up now, given whether any of their readings are still to be committed.
    pub(super) fn take_revoked(
        &mut self,
        now: Instant,
        is_pending: impl Fn(i32) -> bool,
    ) -> Option<Vec<i32>> {
        match self {
            Self::Revoking { partitions, deadline }
                if now >= *deadline || !partitions.iter().any(|&p| is_pending(p)) =>
            {
                let partitions = std::mem::take(partitions);
                *self = Self::None;
                Some(partitions)
            }
            Self::None | Self::Assigning(_) | Self::Revoking { .. } => None,
        }
    }

    /// Whether exactly these partitions are to be ours once their offsets are known.
    pub(super) fn is_assigning(&self, asked: &[i32]) -> bool {
        matches!(self, Self::Assigning(partitions) if partitions == asked)
    }

    /// Whether records of this partition are no longer taken.
    pub(super) fn is_revoking(&self, partition: i32) -> bool {
        matches!(self, Self::Revoking { partitions, .. } if partitions.contains(&partition))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn partitions_go_when_their_work_is_done_or_time_is_up() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(5);
        let mut rebalance = Rebalance::Revoking { partitions: vec![1, 2], deadline };
        assert!(rebalance.is_revoking(2) && !rebalance.is_revoking(3));
        assert_eq!(rebalance.take_revoked(now, |partition| partition == 2), None);
        assert_eq!(rebalance.take_revoked(now, |partition| partition == 3), Some(vec![1, 2]));
        assert_eq!(rebalance.take_revoked(now, |_| false), None);
        let mut rebalance = Rebalance::Revoking { partitions: vec![1], deadline };
        assert_eq!(rebalance.take_revoked(deadline, |_| true), Some(vec![1]));
    }
}
