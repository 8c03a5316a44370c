//! Records that come, and fetches that fail.
//!
//! A failed fetch says nothing of the records that it was to bring, so nothing moves: the partition is read again from its
//! position, which is that of what was taken.

use super::{
    Action, Compared, Proof, Run, State, Time,
    partition::Phase,
    reread::{Due, Reread},
};
use crate::log::{FetchFault, Gap, RecordIdentity, Unreadable};

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
        is_ours.then(|| Run::new(held.position, held.proof))
    }

    pub(super) fn on_taken(
        &mut self,
        partition: i32,
        next: i64,
        last_record: RecordIdentity,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        assert!(self.run(partition).is_some(), "nothing of this partition is taken");
        let Some(held) = self.partitions.get_mut(&partition) else { return };
        assert!(next > held.position, "what was taken lies before the position");
        self.filling.extend(partition, held.position, next);
        self.filling_since.get_or_insert(now);
        held.position = next;
        (held.last_record, held.proof) = (Some(last_record), Proof::Complete);
        match held.phase {
            Phase::Reading | Phase::Blocked(_) => {}
            Phase::Failed(_) => {
                held.phase = Phase::Reading;
                actions.push(Action::ReportReadable(partition));
            }
        }
    }

    /// What has to come first of a partition has come.
    pub(super) fn on_proven(&mut self, partition: i32, left: Proof) {
        if let Some(held) = self.partitions.get_mut(&partition) {
            held.proof = left;
        }
    }

    /// The log is not the one whose records were taken.
    pub(super) fn on_diverged(&mut self, partition: i32, actions: &mut Vec<Action>) {
        if self.run(partition).is_some() {
            self.block(partition, Gap::LogDiverged, actions);
        }
    }

    /// Leaves a partition alone until somebody moves its stored offset.
    fn block(&mut self, partition: i32, gap: Gap, actions: &mut Vec<Action>) {
        let Some(held) = self.partitions.get_mut(&partition) else { return };
        held.phase = Phase::Blocked(held.stored_by_then(partition, &self.topic_id));
        actions.push(Action::ReportGap(partition, gap));
        // Nothing of it comes in any case, and during a rebalance librdkafka would take it for the answer.
        if self.is_settled() {
            actions.push(Action::Unassign(vec![partition]));
        } else {
            actions.push(Action::Hold(vec![partition]));
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
            // The record that would tell is of no use; whatever comes after it may be in order.
            FetchFault::Lasting(Unreadable::Corrupt) if matches!(held.proof, Proof::Record(_)) => {
                (held.last_record, held.proof) = (None, Proof::Complete);
                reread.schedule(Due::At(now));
                actions.push(Action::NoteUnverifiable(partition));
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
            // A broker that was behind, an answer that is none, or a log that was cut and has grown again: reading it from
            // the last record tells.
            Compared::NoGap { low } => {
                if held.last_record.is_some_and(|last| last.offset < low) {
                    held.last_record = None;
                    actions.push(Action::NoteUnverifiable(partition));
                }
                self.on_fetch_failed(partition, FetchFault::Passing, now, actions);
            }
            Compared::Gap(gap) => self.block(partition, gap, actions),
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
                actions.push(Action::Reread(partition, held.read_again()));
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
            actions.push(Action::Reread(partition, held.read_again()));
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
