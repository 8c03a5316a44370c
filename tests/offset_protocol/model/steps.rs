//! What may happen next.

use super::{
    Bug, OffsetProtocol,
    state::{Condition, State, Writer},
};

/// What happens next; the number is a consumer's, or a partition's where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The group gives a partition without an owner to a consumer.
    GroupAssigns {
        partition: usize,
        consumer: usize,
    },
    /// The group finds a frozen consumer's session expired.
    SessionExpires(usize),
    OnGroupEvent(usize),
    TakeRecord {
        consumer: usize,
        partition: usize,
    },
    /// A partition whose fetch failed is read again from its position.
    ReadAgain {
        consumer: usize,
        partition: usize,
    },
    Submit(usize),
    CompareAndSet(usize),
    Commit(usize),
    CommitSecondHalf(usize),
    OnReply(usize),
    /// A consumer that has nothing of a partition to write finds its stored offset moved.
    Look {
        consumer: usize,
        partition: usize,
    },
    GiveUpRevoked {
        consumer: usize,
        partition: usize,
    },
    /// Another writer's watch ends the session of a frozen one that blocks it.
    EndBlocker(usize),
    Restart(usize),

    /// Somebody continues a frozen worker; nobody has to.
    Thaw(usize),
    /// A frozen worker's COMMIT was on its way already, or not.
    CommitOfFrozen(usize),

    /// A rebalance takes a partition away.
    Rebalance {
        partition: usize,
    },
    /// The group gives up on a consumer that is up; it may or may not hear of it.
    DeclaredDead {
        consumer: usize,
        is_told: bool,
    },
    /// An assignment is reported twice.
    AssignedAgain {
        partition: usize,
    },
    /// A partition is given up although its readings are not committed yet.
    DrainTimeout {
        consumer: usize,
        partition: usize,
    },
    /// A fetch of a partition fails, whatever the error.
    FetchFailed {
        consumer: usize,
        partition: usize,
    },
    Freeze(usize),
    Kill(usize),
    /// The transaction commits, its answer does not arrive.
    CommitAnswerLost(usize),
    /// The connection breaks, the transaction is rolled back.
    ConnectionLost(usize),
    /// A person moves the stored offset back to the log's start.
    MovedBack {
        partition: usize,
    },
}

impl Step {
    /// Whether it comes if nothing else does.
    pub(super) fn is_certain(self) -> bool {
        !self.is_fault() && !matches!(self, Self::Thaw(_) | Self::CommitOfFrozen(_))
    }

    pub(super) fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Rebalance { .. }
                | Self::DeclaredDead { .. }
                | Self::AssignedAgain { .. }
                | Self::DrainTimeout { .. }
                | Self::FetchFailed { .. }
                | Self::Freeze(_)
                | Self::Kill(_)
                | Self::CommitAnswerLost(_)
                | Self::ConnectionLost(_)
                | Self::MovedBack { .. }
        )
    }
}

impl OffsetProtocol {
    pub(super) fn steps_of(&self, state: &State, index: usize, steps: &mut Vec<Step>) {
        let consumer = &state.consumers[index];
        match consumer.condition {
            Condition::Down => return steps.push(Step::Restart(index)),
            Condition::Frozen => {
                steps.push(Step::Thaw(index));
                if state.owners.contains(&Some(index)) {
                    steps.push(Step::SessionExpires(index));
                }
                if let Writer::Writing(_) = consumer.writer {
                    steps.push(Step::CommitOfFrozen(index));
                    if state.is_waited_for(index) && self.bug != Some(Bug::NobodyEndsTheFrozen) {
                        steps.push(Step::EndBlocker(index));
                    }
                }
                return;
            }
            Condition::Up => {}
        }
        if !consumer.events.is_empty() {
            steps.push(Step::OnGroupEvent(index));
        }
        for (&partition, &position) in &consumer.assignment {
            if consumer.failed.contains(&partition) && self.bug != Some(Bug::FailedFetchIsNotReadAgain) {
                steps.push(Step::ReadAgain { consumer: index, partition });
            } else if position < self.records && !consumer.revoking.contains(&partition) {
                steps.push(Step::TakeRecord { consumer: index, partition });
            }
        }
        if self.replays && self.bug != Some(Bug::NobodyLooks) {
            for (&partition, &position) in &consumer.assignment {
                let is_moved = position != state.offsets[partition].next && !consumer.is_pending(partition);
                if is_moved && consumer.events.is_empty() && consumer.revoking.is_empty() {
                    steps.push(Step::Look { consumer: index, partition });
                }
            }
        }
        for &partition in &consumer.revoking {
            if !consumer.is_pending(partition) {
                steps.push(Step::GiveUpRevoked { consumer: index, partition });
            }
        }
        match &consumer.writer {
            Writer::Idle if !consumer.filling.is_empty() => steps.push(Step::Submit(index)),
            Writer::Idle => {}
            Writer::Pending(batch) => {
                // A locked row is waited for.
                if batch.keys().all(|&partition| state.offsets[partition].locked_by.is_none()) {
                    steps.push(Step::CompareAndSet(index));
                }
            }
            Writer::Writing(_) => steps.push(Step::Commit(index)),
            Writer::HalfCommitted(_) => steps.push(Step::CommitSecondHalf(index)),
            Writer::Committed(_) | Writer::Fenced(..) => steps.push(Step::OnReply(index)),
        }
    }

    pub(super) fn faults_of(&self, state: &State, steps: &mut Vec<Step>) {
        for partition in 0..self.partitions {
            if let Some(owner) = state.owners[partition] {
                let consumer = &state.consumers[owner];
                let knows = !consumer.events.iter().any(|event| event.partition() == partition);
                let is_settled = knows && !consumer.revoking.contains(&partition);
                if is_settled && consumer.condition == Condition::Up {
                    steps.push(Step::Rebalance { partition });
                    steps.push(Step::AssignedAgain { partition });
                }
            }
        }
        for (partition, offset) in state.offsets.iter().enumerate() {
            if self.replays && offset.next > 0 && offset.locked_by.is_none() {
                steps.push(Step::MovedBack { partition });
            }
        }
        for index in 0..self.consumers {
            let consumer = &state.consumers[index];
            if consumer.condition != Condition::Up {
                continue;
            }
            steps.push(Step::Freeze(index));
            steps.push(Step::Kill(index));
            if state.owners.contains(&Some(index)) {
                steps.push(Step::DeclaredDead { consumer: index, is_told: true });
                steps.push(Step::DeclaredDead { consumer: index, is_told: false });
            }
            for (&partition, &position) in &consumer.assignment {
                if position < self.records && !consumer.failed.contains(&partition) {
                    steps.push(Step::FetchFailed { consumer: index, partition });
                }
            }
            for &partition in &consumer.revoking {
                if consumer.is_pending(partition) {
                    steps.push(Step::DrainTimeout { consumer: index, partition });
                }
            }
            if let Writer::Writing(_) = consumer.writer {
                steps.push(Step::ConnectionLost(index));
                steps.push(Step::CommitAnswerLost(index));
            }
        }
    }
}
