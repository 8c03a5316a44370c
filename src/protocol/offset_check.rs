//! Stored offsets that somebody else has moved: an operator, or a restore of the database.
//!
//! Where there is something to write, the compare-and-set finds out. A partition that is stalled, or has no new
//! records, writes nothing; so every few seconds the writer is asked to look at all of them.

use std::time::Duration;

use super::{Action, State, Time, partition::Phase, rebalance::Rebalance};
use crate::log::StoredOffset;

/// How often the stored offsets are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);

/// Whether the writer was asked to look at the stored offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum OffsetCheck {
    /// No.
    Idle,
    /// Yes.
    Asked,
    /// Yes, and the offsets were read another way since.
    Outdated,
}

impl OffsetCheck {
    /// The offsets are about to be read another way.
    pub(super) fn outdated(self) -> Self {
        match self {
            Self::Idle => Self::Idle,
            Self::Asked | Self::Outdated => Self::Outdated,
        }
    }
}

impl<B: Clone + Default + PartialEq> State<B> {
    /// Asks for the stored offsets of all that the group has given us, when it is time to.
    pub(super) fn check_stored_offsets(&mut self, now: Time, actions: &mut Vec<Action>) {
        let is_due = now.saturating_sub(self.last_check) >= CHECK_INTERVAL && self.check == OffsetCheck::Idle;
        if !is_due || !self.is_settled() {
            return;
        }
        self.last_check = now;
        if !self.partitions.is_empty() {
            self.check = OffsetCheck::Asked;
            actions.push(Action::ReadStoredOffsets {
                partitions: self.partitions.keys().copied().collect(),
                may_have_reported: self.may_have_reported,
            });
        }
    }

    /// The writer takes one job after the other, and its answers come in the same order: what it saw is what was
    /// committed when the answers before this one were taken in. Only a new assignment may have read later.
    pub(super) fn on_offsets_checked(
        &mut self,
        asked: &[i32],
        stored: &[StoredOffset<B>],
        has_reported: Option<bool>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let check = std::mem::replace(&mut self.check, OffsetCheck::Idle);
        if check == OffsetCheck::Outdated || !matches!(self.rebalance, Rebalance::None) {
            return;
        }
        self.may_have_reported = has_reported.unwrap_or(self.may_have_reported);
        let (mut moved, mut unblocked, mut is_unknown) = (Vec::new(), Vec::new(), false);
        for &partition in asked {
            let stored = stored.iter().find(|stored| stored.partition == partition);
            let Some(held) = self.partitions.get(&partition) else { continue };
            match (&held.phase, stored) {
                (Phase::Blocked(seen), stored) => {
                    // What is still to be committed moves the offset as well.
                    let is_pending = self.filling.has(partition) || self.in_flight.has(partition);
                    if !stored.is_some_and(|stored| stored.is_unmoved(seen)) && !is_pending {
                        unblocked.push(partition);
                    }
                }
                // Its row is gone or of another topic, as after a restore: it needs a new start.
                (Phase::Reading | Phase::Failed(_), None) => is_unknown = true,
                (Phase::Reading | Phase::Failed(_), Some(stored)) if stored.topic_id != self.topic_id => {
                    is_unknown = true;
                }
                (Phase::Reading | Phase::Failed(_), Some(stored)) => {
                    if stored.next_offset != held.stored {
                        moved.push(stored.clone());
                    }
                }
            }
        }
        self.leave_if(is_unknown);
        self.move_to(moved, now, actions);
        if !unblocked.is_empty() && !self.must_leave() && self.drain_deadline.is_none() {
            self.restart(unblocked, actions);
        }
    }

    /// Finds out where stalled partitions start now. A rebalance may come before the answer, which is then dropped: the
    /// next look finds them blocked as they were.
    fn restart(&mut self, partitions: Vec<i32>, actions: &mut Vec<Action>) {
        self.discard(&partitions, actions);
        actions.push(Action::ReportUnblocked(partitions.clone()));
        actions.push(Action::ClearReports(partitions.clone()));
        actions.push(Action::Unassign(partitions.clone()));
        self.rebalance = Rebalance::Restarting(partitions.clone());
        self.request_start_offsets(partitions, actions);
    }
}
