//! A partition whose fetch failed: it is read again from its position, and stalled until it answers.
//!
//! A failed fetch says nothing of the records that it was to bring, so nothing moves. What was taken before it is
//! committed as ever.

use std::time::Instant;

use super::{member::MemberError, rebalance::Rebalance, session::Session, stalled::Stall};
use crate::{
    kafka::{FetchError, FetchFault},
    metrics::GAPS,
};

impl Session<'_> {
    /// Nothing more of the partition comes until it is assigned again.
    pub(super) fn on_fetch_failed(&mut self, partition: i32, error: &FetchError) -> Result<(), MemberError> {
        if !self.assignment.owns(partition) {
            return Ok(());
        }
        if error.fault == FetchFault::OffsetOutOfRange {
            return self.on_offset_out_of_range(partition, error);
        }
        self.retry(partition, error.fault, error);
        Ok(())
    }

    /// Has a partition read again after a pause; a stall, where that is to be told.
    pub(super) fn retry(&mut self, partition: i32, fault: FetchFault, error: &FetchError) {
        let Some(unreadable) = self.rereads.failed(partition, fault, Instant::now()) else {
            tracing::debug!(error = %error, kafka.partition = partition, "fetch failed; reading again");
            return;
        };
        let stall = Stall::Unreadable(unreadable, error.detail.clone());
        if self.member.config.stalled.add(partition, stall) {
            metrics::counter!(GAPS, "gap" => unreadable.as_str()).increment(1);
            tracing::error!(
                kafka.topic = self.log.topic,
                kafka.partition = partition,
                gap = unreadable.as_str(),
                error = %error,
                "partition stalled: {}; retrying, no data lost",
                unreadable.meaning()
            );
        }
    }

    /// Assigns partitions again whose pause is over, where they were read up to.
    ///
    /// Not during a rebalance: librdkafka would take it for the answer.
    pub(super) fn read_again(&mut self) -> Result<(), MemberError> {
        let is_settled = matches!(self.rebalance, Rebalance::None) && self.drain_deadline.is_none();
        if self.rereads.is_empty() || !is_settled {
            return Ok(());
        }
        for partition in self.rereads.take_readable(Instant::now()) {
            self.tell_readable(partition);
        }
        for partition in self.rereads.take_due(Instant::now()) {
            if let Some(position) = self.assignment.position(partition) {
                self.consumer.unassign(&[partition])?;
                self.consumer.assign(&[(partition, position)])?;
            }
        }
        Ok(())
    }

    /// Records came of these partitions: their fetches work.
    pub(super) fn on_readable(&mut self, partitions: &[i32]) {
        for &partition in partitions {
            if self.rereads.remove(&[partition]) {
                self.tell_readable(partition);
            }
        }
    }

    fn tell_readable(&self, partition: i32) {
        if self.member.config.stalled.remove(std::iter::once(partition)) {
            tracing::info!(kafka.partition = partition, "partition readable again; no data lost");
        }
    }
}
