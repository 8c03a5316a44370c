//! Records that come, and fetches that fail.
//!
//! A failed fetch says nothing of the records that it was to bring, so nothing moves: the partition is read again from its
//! position, which is that of what was taken.

use super::{
    Action, Compared, State, Time,
    partition::Phase,
    reread::{Due, Reread},
};
use crate::log::{FetchFault, StoredOffset, offset_after};

/// Which records of a partition are taken: offsets have gaps, so any that is not behind is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The offset after the last one that was taken; before that, the partition's position.
    pub next: i64,
}

impl Run {
    /// Whether the record at this offset is taken, and notes that it was.
    pub fn takes(&mut self, offset: i64) -> bool {
        let is_next = offset >= self.next;
        if is_next {
            self.next = offset_after(offset);
        }
        is_next
    }
}

impl<B: Clone + Default + PartialEq> State<B> {
    /// How records of a partition that are at hand are taken; none where they are not ours to take.
    pub fn run(&self, partition: i32) -> Option<Run> {
        let held = self.partitions.get(&partition)?;
        let is_read = match &held.phase {
            Phase::Reading => true,
            Phase::Failed(reread) => reread.due == Due::Read,
            Phase::Blocked(_) => false,
        };
        let is_ours = is_read && self.drain_deadline.is_none() && !self.rebalance.is_revoking(partition);
        is_ours.then_some(Run { next: held.position })
    }

    pub(super) fn on_taken(&mut self, partition: i32, next: i64, now: Time, actions: &mut Vec<Action>) {
        assert!(self.run(partition).is_some(), "nothing of this partition is taken");
        let Some(held) = self.partitions.get_mut(&partition) else { return };
        assert!(next > held.position, "what was taken lies before the position");
        self.filling.extend(partition, held.position, next);
        self.filling_since.get_or_insert(now);
        held.position = next;
        match held.phase {
            Phase::Reading | Phase::Blocked(_) => {}
            Phase::Failed(_) => {
                held.phase = Phase::Reading;
                actions.push(Action::ReportReadable(partition));
            }
        }
    }

    pub(super) fn on_passed(&mut self, partition: i32, offset: i64, now: Time) {
        let Some(held) = self.partitions.get_mut(&partition) else { return };
        held.passed = held.passed.max(offset);
        match &mut held.phase {
            Phase::Reading | Phase::Blocked(_) => {}
            Phase::Failed(reread) => reread.is_quiet(now),
        }
    }

    /// Moves partitions past what Kafka says holds no record, such as control records.
    pub(super) fn go_past_what_holds_no_record(&mut self, now: Time) {
        for (&partition, held) in &mut self.partitions {
            let is_ours = held.is_read() && !self.rebalance.is_revoking(partition);
            if is_ours && held.passed > held.position {
                self.filling.extend(partition, held.position, held.passed);
                self.filling_since.get_or_insert(now);
                held.position = held.passed;
            }
        }
    }

    pub(super) fn on_fetch_failed(
        &mut self,
        partition: i32,
        fault: FetchFault,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let Some(held) = self.partitions.get_mut(&partition) else { return };
        let reread = match &mut held.phase {
            Phase::Blocked(_) => return,
            Phase::Failed(reread) => reread,
            phase @ Phase::Reading => {
                *phase = Phase::Failed(Reread::since(now));
                let Phase::Failed(reread) = phase else { unreachable!("it was just set") };
                reread
            }
        };
        match fault {
            FetchFault::OffsetOutOfRange => {
                reread.due = Due::Compared;
                actions.push(Action::Compare { partition, position: held.position });
            }
            FetchFault::Passing | FetchFault::Lasting(_) => match reread.failed(fault, now) {
                Some(unreadable) => actions.push(Action::ReportUnreadable(partition, unreadable)),
                None => actions.push(Action::NoteFailedFetch(partition)),
            },
        }
    }

    pub(super) fn on_compared(
        &mut self,
        partition: i32,
        found: Compared,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let Some(held) = self.partitions.get_mut(&partition) else { return };
        let Phase::Failed(Reread { due: Due::Compared, .. }) = held.phase else { return };
        match found {
            // A broker that was behind, or an answer that is none: the log has the offset.
            Compared::NoGap => self.on_fetch_failed(partition, FetchFault::Passing, now, actions),
            Compared::Gap(gap) => {
                // What its stored offset is once all that was taken is committed.
                held.phase = Phase::Blocked(StoredOffset {
                    partition,
                    next_offset: held.position,
                    topic_id: self.topic_id.clone(),
                    given_times: held.given_times.clone(),
                });
                actions.push(Action::ReportGap(partition, gap));
                // Nothing of it comes in any case, and during a rebalance librdkafka would take it for the answer.
                if self.is_settled() {
                    actions.push(Action::Unassign(vec![partition]));
                }
            }
            // The assignment that follows finds out.
            Compared::Unknown => self.leave_if(true),
        }
    }

    /// Assigns partitions again whose pause is over, where they were read up to.
    ///
    /// Not during a rebalance: librdkafka would take it for the answer.
    pub(super) fn read_again(&mut self, now: Time, actions: &mut Vec<Action>) {
        if !self.is_settled() {
            return;
        }
        for (&partition, held) in &mut self.partitions {
            let Phase::Failed(reread) = &mut held.phase else { continue };
            if reread.is_readable(now) {
                held.phase = Phase::Reading;
                actions.push(Action::ReportReadable(partition));
            } else if reread.is_due(now) {
                reread.schedule(Due::Read);
                actions.push(Action::Reread(partition, held.position));
            }
        }
    }

    pub(super) fn on_astray(&mut self, partition: i32, now: Time, actions: &mut Vec<Action>) {
        if self.run(partition).is_some() {
            self.reassign(partition, now, actions);
        }
    }

    /// Has a partition that is read be read from its position, also where the client is somewhere else.
    pub(super) fn reassign(&mut self, partition: i32, now: Time, actions: &mut Vec<Action>) {
        let is_settled = self.is_settled();
        let Some(held) = self.partitions.get_mut(&partition) else { return };
        if is_settled {
            // One that may be reported as stalled is so until it is seen to be read.
            if let Phase::Failed(reread) = &mut held.phase {
                reread.schedule(Due::Read);
            }
            actions.push(Action::Reread(partition, held.position));
        } else {
            // librdkafka would take it for its answer.
            match &mut held.phase {
                Phase::Failed(reread) => reread.schedule(Due::At(now)),
                phase @ (Phase::Reading | Phase::Blocked(_)) => {
                    *phase = Phase::Failed(Reread::at_once(now));
                }
            }
            actions.push(Action::Hold(vec![partition]));
        }
    }
}
