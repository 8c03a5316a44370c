//! What the protocol's state wants done, and how.

use std::{panic::AssertUnwindSafe, thread};

use futures_util::FutureExt as _;

use super::{
    member::{MemberError, Reply, send},
    session::{Leaving, Session},
    stalled::Stall,
    start_offsets,
    writer::Job,
};
use crate::{
    kafka::FetchError,
    log::Unreadable,
    metrics::GAPS,
    panics,
    protocol::Action,
    store::{StallReport, try_writing},
};

impl Session<'_> {
    pub(super) fn carry_out(&mut self, action: Action) -> Result<(), MemberError> {
        match action {
            Action::Hold(partitions) => self.consumer.hold(&partitions),
            Action::RequestStartOffsets(partitions) => self.request_start_offsets(partitions)?,
            Action::Assign(starts) => {
                if !starts.is_empty() {
                    tracing::info!(kafka.starts = ?starts, "partitions assigned at their stored offsets");
                }
                self.consumer.assign(&starts)?;
            }
            Action::Unassign(partitions) => self.consumer.unassign(&partitions)?,
            Action::Reread(partition, offset) => {
                self.consumer.unassign(&[partition])?;
                self.consumer.assign(&[(partition, offset)])?;
            }
            Action::GiveUp(partitions) => {
                self.consumer.unassign(&partitions)?;
                tracing::info!(kafka.partitions = ?partitions, "partitions revoked");
            }
            Action::Discard(partitions) => {
                self.filling.discard(&partitions.into_iter().collect());
                if self.filling.is_empty() {
                    self.filling_since = None;
                }
            }
            Action::Settled => {
                self.link.failed_assignments = 0;
                self.member.config.absences.remove(self.member.index);
            }
            Action::Compare { partition, position } => self.compare(partition, position)?,
            Action::ReportGap(partition, gap) => {
                if self.member.config.stalled.add(partition, Stall::Gap(gap)) {
                    start_offsets::report_gap(&self.log, partition, gap);
                }
            }
            Action::ReportUnreadable(partition, unreadable) => self.report_unreadable(partition, unreadable),
            Action::NoteFailedFetch(partition) => {
                let error = self.fetch_errors.get(&partition).map(tracing::field::display);
                tracing::debug!(error, kafka.partition = partition, "fetch failed; reading again");
            }
            Action::NoteUnverifiable(partition) => start_offsets::note_unverifiable(&self.log, partition),
            Action::ReportReadable(partition) => {
                self.fetch_errors.remove(&partition);
                if self.member.config.stalled.remove(std::iter::once(partition)) {
                    tracing::info!(kafka.partition = partition, "partition readable again; no data lost");
                }
            }
            Action::ReportUnblocked(partitions) => {
                tracing::info!(kafka.partitions = ?partitions, "stored offsets of stalled partitions were moved");
            }
            Action::ClearReports(partitions) => {
                _ = self.member.config.stalled.remove(partitions.into_iter());
            }
            Action::Write(spans) => self.write(spans),
            Action::WriteAgain { without } => self.write_again(without),
            Action::Recycle => self.recycle(),
            Action::ReadStoredOffsets { partitions, may_have_reported } => {
                self.read_stored_offsets(partitions, may_have_reported);
            }
            Action::TryWriting => self.try_writing(),
            Action::CommitToKafka(offsets) => self.consumer.commit(&offsets),
            Action::ReportMoved(partition, offset) => tracing::warn!(
                kafka.partition = partition,
                offset,
                "the stored offset was moved by another process; the records held of the partition are dropped"
            ),
            Action::Leave { .. } => self.leaving = Leaving::of(action),
        }
        Ok(())
    }

    fn report_unreadable(&mut self, partition: i32, unreadable: Unreadable) {
        let detail = self.fetch_errors.get(&partition).map(FetchError::to_string).unwrap_or_default();
        if self.member.config.stalled.add(partition, Stall::Unreadable(unreadable, detail.clone())) {
            metrics::counter!(GAPS, "gap" => unreadable.as_str()).increment(1);
            tracing::error!(
                kafka.topic = self.log.topic,
                kafka.partition = partition,
                gap = unreadable.as_str(),
                error = detail,
                "partition stalled: {}; retrying, no data lost",
                unreadable.meaning()
            );
        }
    }

    fn read_stored_offsets(&mut self, partitions: Vec<i32>, may_have_reported: bool) {
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
                kept_at: match stall {
                    Stall::Gap(gap) if gap.may_grow_over() => self.link.state.blocked_at(partition).cloned(),
                    Stall::Gap(_) | Stall::Unreadable(..) => None,
                },
            })
            .collect();
        let stalled = (may_have_reported || !stalled.is_empty()).then_some(stalled);
        self.send(Job::ReadStoredOffsets { log: self.log.clone(), partitions, stalled });
    }

    fn try_writing(&self) {
        let config = self.member.config.writer.clone();
        let (answer, owner) = (self.link.answer.clone(), thread::current());
        self.member.runtime.spawn(async move {
            let tried = AssertUnwindSafe(try_writing(&config)).catch_unwind().await;
            let tried = tried.map(|tried| tried.map(drop));
            let panicked = |panic: Box<dyn std::any::Any + Send>| {
                Reply::Panicked("trying an empty write", panics::message(&*panic).to_owned())
            };
            send(&answer, &owner, tried.map_or_else(panicked, Reply::Tried));
        });
    }
}
