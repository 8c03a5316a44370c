//! What each step does.

use std::collections::BTreeMap;

use super::{
    Bug, OffsetProtocol,
    state::{Condition, Consumer, Event, Span, State, Writer},
    steps::Step,
};

impl OffsetProtocol {
    pub(super) fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::GroupAssigns { partition, consumer } => {
                state.owners[partition] = Some(consumer);
                state.consumers[consumer].events.push(Event::Assigned(partition));
            }
            Step::SessionExpires(index) => state.expel(index, true),
            Step::DeclaredDead { consumer, is_told } => state.expel(consumer, is_told),
            Step::Rebalance { partition } => state.tell_owner(partition, Event::Revoked(partition)),
            Step::AssignedAgain { partition } => state.tell_owner(partition, Event::Assigned(partition)),
            Step::OnGroupEvent(index) => self.on_group_event(state, index),
            Step::TakeRecord { consumer, partition } => {
                let consumer = &mut state.consumers[consumer];
                if consumer.failed.remove(&partition) {
                    // Only with a bug: the client has gone on behind it.
                    consumer.skip_record(partition);
                    if consumer.assignment[&partition] == self.records {
                        return;
                    }
                }
                consumer.take_record(partition);
            }
            Step::FetchFailed { consumer, partition } => {
                let consumer = &mut state.consumers[consumer];
                if self.bug == Some(Bug::FailedFetchCountsAsRead) {
                    consumer.skip_record(partition);
                } else {
                    consumer.failed.insert(partition);
                }
            }
            Step::ReadAgain { consumer, partition } => {
                state.consumers[consumer].failed.remove(&partition);
            }
            Step::Submit(index) => {
                let consumer = &mut state.consumers[index];
                consumer.writer = Writer::Pending(std::mem::take(&mut consumer.filling));
            }
            Step::CompareAndSet(index) => self.compare_and_set(state, index),
            Step::Commit(index) | Step::CommitOfFrozen(index) => self.commit(state, index),
            Step::CommitSecondHalf(index) => self.commit_second_half(state, index),
            Step::OnReply(index) => state.on_reply(index),
            Step::Look { consumer, partition } => {
                let next = state.offsets[partition].next;
                state.consumers[consumer].assignment.insert(partition, next);
            }
            Step::MovedBack { partition } => state.offsets[partition].next = 0,
            Step::GiveUpRevoked { consumer, partition } | Step::DrainTimeout { consumer, partition } => {
                state.consumers[consumer].forget(partition);
                state.consumers[consumer].revoking.retain(|&other| other != partition);
                if state.owners[partition] == Some(consumer) {
                    state.owners[partition] = None;
                }
            }
            Step::Freeze(index) => state.consumers[index].condition = Condition::Frozen,
            Step::Thaw(index) | Step::Restart(index) => state.consumers[index].condition = Condition::Up,
            Step::Kill(index) => {
                state.roll_back(index);
                state.expel(index, false);
                state.consumers[index] = Consumer { condition: Condition::Down, ..Consumer::default() };
            }
            Step::EndBlocker(index) | Step::ConnectionLost(index) => state.roll_back(index),
            Step::CommitAnswerLost(index) => {
                self.commit(state, index);
                let consumer = &mut state.consumers[index];
                if let Writer::Committed(batch) = &consumer.writer {
                    consumer.writer = Writer::Pending(batch.clone());
                }
            }
        }
    }

    fn on_group_event(&self, state: &mut State, index: usize) {
        let consumer = &mut state.consumers[index];
        match consumer.events.remove(0) {
            Event::Assigned(partition) => {
                // What was taken before an assignment that is reported again is taken again from the stored offset.
                if self.bug != Some(Bug::AssignedAgainKeepsTheBatch) {
                    consumer.forget(partition);
                }
                consumer.assignment.insert(partition, state.offsets[partition].next);
                consumer.failed.remove(&partition);
            }
            Event::Revoked(partition) => consumer.revoking.push(partition),
            Event::Lost(partition) => {
                consumer.forget(partition);
                consumer.revoking.retain(|&other| other != partition);
            }
        }
    }

    fn compare_and_set(&self, state: &mut State, index: usize) {
        let Writer::Pending(batch) = std::mem::take(&mut state.consumers[index].writer) else { return };
        let stands_elsewhere = |(&partition, span): (&usize, &Span)| {
            let next = state.offsets[partition].next;
            (next != span.expected && self.bug != Some(Bug::NoCompareAndSet)).then_some((partition, next))
        };
        let fences: BTreeMap<usize, u8> = batch.iter().filter_map(stands_elsewhere).collect();
        state.consumers[index].writer = if fences.is_empty() {
            for &partition in batch.keys() {
                state.offsets[partition].locked_by = Some(index);
            }
            Writer::Writing(batch)
        } else {
            Writer::Fenced(batch, fences)
        };
    }

    fn commit(&self, state: &mut State, index: usize) {
        let Writer::Writing(batch) = std::mem::take(&mut state.consumers[index].writer) else { return };
        state.release_locks(index);
        state.consumers[index].writer = match self.bug {
            Some(Bug::OffsetsOutsideTheTransaction) => {
                state.insert_readings(&batch, self.replays);
                Writer::HalfCommitted(batch)
            }
            Some(Bug::OffsetsBeforeTheReadings) => {
                state.move_offsets(&batch);
                Writer::HalfCommitted(batch)
            }
            Some(
                Bug::NoCompareAndSet
                | Bug::AssignedAgainKeepsTheBatch
                | Bug::NobodyEndsTheFrozen
                | Bug::NobodyLooks
                | Bug::FailedFetchCountsAsRead
                | Bug::FailedFetchIsNotReadAgain,
            )
            | None => {
                state.insert_readings(&batch, self.replays);
                state.move_offsets(&batch);
                Writer::Committed(batch)
            }
        };
    }

    fn commit_second_half(&self, state: &mut State, index: usize) {
        let Writer::HalfCommitted(batch) = std::mem::take(&mut state.consumers[index].writer) else { return };
        if self.bug == Some(Bug::OffsetsOutsideTheTransaction) {
            state.move_offsets(&batch);
        } else {
            state.insert_readings(&batch, self.replays);
        }
        state.consumers[index].writer = Writer::Committed(batch);
    }
}
