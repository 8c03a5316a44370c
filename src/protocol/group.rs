//! Partitions that come and go with the group.

use super::{
    Action, Answer, Membership, PartitionStart, State, Time, partition::Partition, rebalance::Rebalance,
};

impl<B: Clone + Default + PartialEq> State<B> {
    pub(super) fn on_joined(&mut self, topic_id: String, now: Time) {
        let before = std::mem::replace(self, Self::new(self.bounds));
        self.topic_id = topic_id;
        self.membership = Membership::In;
        (self.in_flight, self.in_flight_topic) = (before.in_flight, before.in_flight_topic);
        self.submitted = before.submitted;
        self.check = before.check.outdated();
        self.drain_deadline = before.drain_deadline;
        (self.last_check, self.last_housekeeping) = (now, now);
    }

    pub(super) fn on_assigned(&mut self, partitions: Vec<i32>, actions: &mut Vec<Action>) {
        if partitions.is_empty() {
            // Most rebalances of the group bring this consumer nothing.
            self.was_assigned = true;
            actions.extend([Action::Assign(vec![]), Action::Settled]);
            return;
        }
        // Reported again, a partition starts over at its stored offset. What was taken of it would be in the batch twice.
        actions.push(Action::Hold(partitions.clone()));
        self.forget(&partitions, actions);
        self.rebalance = Rebalance::Assigning(partitions.clone());
        self.request_start_offsets(partitions, actions);
    }

    pub(super) fn on_revoked(&mut self, partitions: Vec<i32>, now: Time, actions: &mut Vec<Action>) {
        actions.push(Action::Hold(partitions.clone()));
        let deadline = now + self.bounds.drain_timeout;
        self.rebalance = Rebalance::Revoking { partitions, deadline };
    }

    pub(super) fn on_lost(&mut self, partitions: &[i32], actions: &mut Vec<Action>) {
        self.forget(partitions, actions);
        self.rebalance = Rebalance::None;
        actions.push(Action::GiveUp(partitions.to_vec()));
    }

    pub(super) fn request_start_offsets(&mut self, partitions: Vec<i32>, actions: &mut Vec<Action>) {
        // A look that is under way has seen what is older than what is about to be read.
        self.check = self.check.outdated();
        actions.push(Action::RequestStartOffsets(partitions));
    }

    /// The partitions may have been lost, or be wanted back, since they were asked for.
    pub(super) fn on_start_offsets(
        &mut self,
        asked: &[i32],
        starts: Vec<PartitionStart<B>>,
        actions: &mut Vec<Action>,
    ) {
        if !self.rebalance.waits_for(asked) {
            return;
        }
        self.rebalance = Rebalance::None;
        self.was_assigned = true;
        // Whoever had them before may have.
        self.may_have_reported = true;
        let mut read = Vec::with_capacity(starts.len());
        for PartitionStart { stored, gap, .. } in starts {
            let partition = stored.partition;
            let held = match gap {
                None => {
                    let mut held = Partition::at(stored);
                    read.push((partition, held.read_again()));
                    held
                }
                Some(gap) => {
                    actions.push(Action::ReportGap(partition, gap));
                    Partition::blocked_at(stored)
                }
            };
            self.partitions.insert(partition, held);
        }
        actions.extend([Action::Assign(read), Action::Settled]);
        if self.drain_deadline.is_some() {
            actions.push(Action::Hold(self.partitions.keys().copied().collect()));
        }
    }

    pub(super) fn on_start_offsets_failed(&mut self, asked: &[i32]) {
        self.leave_if(self.rebalance.waits_for(asked));
    }

    pub(super) fn give_up_revoked(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Rebalance::Revoking { partitions, deadline } = &self.rebalance else { return };
        let is_pending = |&partition: &i32| self.filling.has(partition) || self.in_flight.has(partition);
        if now < *deadline && partitions.iter().any(is_pending) {
            return;
        }
        let partitions = partitions.clone();
        self.rebalance = Rebalance::None;
        self.commit_to_kafka(actions);
        self.forget(&partitions, actions);
        actions.push(Action::GiveUp(partitions));
    }

    pub(super) fn on_stop(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.drain_deadline.is_none() {
            self.drain_deadline = Some(now + self.bounds.drain_timeout);
            actions.push(Action::Hold(self.partitions.keys().copied().collect()));
        }
    }

    pub(super) fn is_drained(&self, now: Time) -> bool {
        let is_empty = self.filling.is_empty() && self.in_flight.is_empty();
        self.drain_deadline.is_some_and(|deadline| is_empty || now >= deadline)
    }

    /// What the group waits for is answered, whatever it is, or it would wait for us for ever.
    pub(super) fn leave(&mut self, actions: &mut Vec<Action>) {
        // Whoever is next tells Kafka where it starts; where the process stops, there may be nobody for long.
        let mut offsets = match self.drain_deadline {
            Some(_) => self.stored_offsets(),
            None => vec![],
        };
        let answer = match std::mem::take(&mut self.rebalance) {
            Rebalance::None | Rebalance::Restarting(_) => None,
            Rebalance::Assigning(partitions) => Some(Answer::Assign(partitions)),
            Rebalance::Revoking { partitions, .. } => {
                offsets.retain(|(partition, _)| !partitions.contains(partition));
                Some(Answer::Unassign(partitions))
            }
        };
        let partitions: Vec<i32> = self.partitions.keys().copied().collect();
        self.forget(&partitions, actions);
        self.membership = Membership::Out;
        actions.push(Action::Leave { answer, offsets });
    }

    /// Whatever change of the assignment the group waits for an answer to, giving up everything is one.
    pub(super) fn on_broken(&mut self, assigned: Vec<i32>, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.rebalance, Rebalance::None | Rebalance::Restarting(_)) {
            self.rebalance = Rebalance::Revoking { partitions: assigned, deadline: now };
        }
        self.leave(actions);
    }

    /// Nothing of these partitions is ours any more.
    pub(super) fn forget(&mut self, partitions: &[i32], actions: &mut Vec<Action>) {
        self.discard(partitions, actions);
        self.partitions.retain(|partition, _| !partitions.contains(partition));
        actions.push(Action::ClearReports(partitions.to_vec()));
    }
}
