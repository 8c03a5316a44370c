//! How a session ends: what the group waits for is answered, and the group is left.

use std::time::{Duration, Instant};

use super::{
    rebalance::Rebalance,
    session::{Ended, Session},
};

/// Bound on leaving the group.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Before the group is left in the middle of a turn: whatever change of the assignment librdkafka waits for an answer
    /// to, giving up everything is one.
    pub(super) fn give_up_everything(&mut self) {
        if matches!(self.rebalance, Rebalance::None) {
            let partitions = self.consumer.assigned();
            self.rebalance = Rebalance::Revoking { partitions, deadline: Instant::now() };
        }
    }

    pub(super) fn leave(mut self) -> Ended {
        // Whoever is next tells Kafka where it starts; where the process stops, there may be nobody for long.
        let mut offsets: Vec<_> = match self.drain_deadline {
            Some(_) => self.assignment.stored().collect(),
            None => vec![],
        };
        let mut partitions = self.assignment.partitions();
        partitions.extend(self.blocked.keys());
        self.forget(&partitions);
        // librdkafka waits for an answer to every rebalance, also before it lets a member go.
        let answer = match &self.rebalance {
            Rebalance::None => Ok(()),
            Rebalance::Assigning(partitions) => {
                let starts: Vec<(i32, i64)> = partitions.iter().map(|&partition| (partition, 0)).collect();
                self.consumer.assign(&starts)
            }
            Rebalance::Revoking { partitions, .. } => {
                offsets.retain(|(partition, _)| !partitions.contains(partition));
                self.consumer.unassign(partitions)
            }
        };
        if let Err(error) = answer {
            tracing::debug!(error = %error, "rebalance not answered before leaving");
        }
        self.consumer.leave(&offsets, LEAVE_TIMEOUT);
        match self.drain_deadline {
            Some(_) if self.link.in_flight.is_empty() => Ended::Stopped,
            Some(_) => {
                tracing::warn!(
                    "stopped with a batch in flight; Kafka has it, and it is done again from there"
                );
                Ended::Stopped
            }
            None => Ended::Left,
        }
    }
}
