//! How a session ends: what the group waits for is answered, and the group is left.

use super::session::{LEAVE_TIMEOUT, Leaving, Session};
use crate::{metrics::ASSIGNED_PARTITIONS, protocol::Answer};

impl Session<'_> {
    pub(super) fn leave(mut self) {
        let Leaving { answer, offsets } = self.leaving.take().unwrap_or_default();
        // librdkafka waits for an answer to every rebalance, also before it lets a member go.
        let answered = match answer {
            None => Ok(()),
            Some(Answer::Assign(partitions)) => {
                let starts: Vec<(i32, i64)> = partitions.iter().map(|&partition| (partition, 0)).collect();
                self.consumer.assign(&starts)
            }
            Some(Answer::Unassign(partitions)) => self.consumer.unassign(&partitions),
        };
        if let Err(error) = answered {
            tracing::debug!(error = %error, "rebalance not answered before leaving");
        }
        if self.link.state.is_stopping() && !self.link.state.in_flight().is_empty() {
            tracing::warn!(
                "stopped with a batch in flight; Kafka still has it, and it is processed again from there"
            );
        }
        metrics::gauge!(ASSIGNED_PARTITIONS).decrement(self.assigned as f64);
        self.consumer.leave(&offsets, LEAVE_TIMEOUT);
    }
}
