//! Stored offsets that somebody else has moved: an operator, or a restore of the database.
//!
//! Where there is something to write, the compare-and-set finds out. A partition that is stalled, or has no new
//! records, writes nothing; so every few seconds the writer is asked to look at all of them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    member::{Look, MemberError},
    rebalance::Rebalance,
    session::Session,
    writer::{Job, Looked},
};
use crate::store::StallReport;

/// How often the stored offsets are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Asks for the stored offsets of all that the group has given us, when it is time to.
    pub(super) fn look_at_stored_offsets(&mut self) {
        let is_settled = matches!(self.rebalance, Rebalance::None) && self.drain_deadline.is_none();
        if !is_settled || self.last_look.elapsed() < LOOK_INTERVAL || self.link.look != Look::Idle {
            return;
        }
        self.last_look = Instant::now();
        let ours: BTreeSet<i32> =
            self.assignment.partitions().into_iter().chain(self.blocked.keys().copied()).collect();
        if ours.is_empty() {
            return;
        }
        let partitions: Vec<i32> = ours.into_iter().collect();
        let stalled: Vec<StallReport> = self
            .member
            .config
            .stalled
            .among(&partitions)
            .into_iter()
            .map(|(partition, stall)| StallReport {
                partition,
                reason: stall.reason(),
                detail: stall.detail(),
            })
            .collect();
        let stalled = (self.may_have_reported || !stalled.is_empty()).then_some(stalled);
        let job = Job::Look { log: self.log.clone(), partitions, stalled };
        if self.link.jobs.try_send(job).is_ok() {
            self.link.look = Look::Asked;
        }
    }

    /// The writer takes one job after the other, and its answers come in the same order: what it saw is what was
    /// committed when the answers before this one were taken in. Only a new assignment may have read later.
    pub(super) fn on_looked(&mut self, looked: &Looked) -> Result<(), MemberError> {
        let look = std::mem::take(&mut self.link.look);
        if look == Look::Outdated || !matches!(self.rebalance, Rebalance::None) {
            return Ok(());
        }
        self.may_have_reported = looked.has_stalled.unwrap_or(self.may_have_reported);
        let (mut moved, mut judged_anew) = (Vec::new(), Vec::new());
        for &partition in &looked.asked {
            let stored = looked.stored.iter().find(|stored| stored.partition == partition);
            if let Some(seen) = self.blocked.get(&partition) {
                // What is still to be committed moves the offset as well.
                let is_pending = self.filling.has(partition) || self.link.in_flight.has(partition);
                if stored != Some(seen) && !is_pending {
                    judged_anew.push(partition);
                }
            } else if let Some(expected) = self.assignment.stored_offset(partition) {
                match stored {
                    Some(stored) if stored.topic_id != self.log.topic_id => self.must_leave = true,
                    Some(stored) if stored.next_offset == expected => {}
                    Some(stored) => moved.push(stored.clone()),
                    // As after a restore: it needs a new start.
                    None => self.must_leave = true,
                }
            }
        }
        self.move_to(moved)?;
        if !judged_anew.is_empty() && !self.must_leave {
            tracing::info!(kafka.partitions = ?judged_anew, "stored offsets of stalled partitions were moved");
            self.judge_anew(judged_anew)?;
        }
        Ok(())
    }

    fn judge_anew(&mut self, partitions: Vec<i32>) -> Result<(), MemberError> {
        let seen: Vec<_> =
            partitions.iter().filter_map(|partition| self.blocked.remove_entry(partition)).collect();
        self.consumer.unassign(&partitions)?;
        self.forget(&partitions);
        // A rebalance may come before the answer, which is then dropped: the next look finds them here.
        self.blocked.extend(seen);
        self.ask_for_starts(partitions);
        Ok(())
    }
}
