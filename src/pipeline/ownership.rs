//! What a session owns: partitions that come, go, are found moved or cannot be read.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;

use super::{
    Gap, Log,
    lag::InFlight,
    member::{MemberError, Reply, send},
    rebalance::Rebalance,
    session::Session,
    stalled::Stall,
    starts::{self, PartitionLog, PartitionStart, StartsWanted},
};
use crate::{
    batch::Batch,
    config::Start,
    kafka::{ConsumerError, FetchError, FetchFault, GroupEvent},
    metrics::{ASSIGNED_PARTITIONS, REBALANCES},
    panics,
    reading::untimed::GivenTimes,
    store::{Fence, StoredOffset},
};

/// How long one question to Kafka may take.
pub(super) const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

impl Session<'_> {
    pub(super) fn on_group_event(&mut self, event: GroupEvent) -> Result<(), MemberError> {
        match event {
            GroupEvent::Assigned(partitions) => {
                count_rebalance("assigned");
                self.refused = None;
                self.was_assigned |= partitions.is_empty();
                if partitions.is_empty() {
                    // Most rebalances of the group bring this one nothing.
                    self.consumer.assign(&[])?;
                    self.settle_assignment();
                } else {
                    // Reported again, a partition starts over at its stored offset. What was taken of it would be
                    // in the batch twice.
                    self.consumer.hold(&partitions);
                    self.forget(&partitions);
                    self.ask_for_starts(partitions);
                }
            }
            GroupEvent::Revoked(partitions) => {
                count_rebalance("revoked");
                tracing::info!(kafka.partitions = ?partitions, "partitions revoked");
                self.consumer.hold(&partitions);
                let deadline = Instant::now() + self.member.config.drain_timeout;
                self.rebalance = Rebalance::Revoking { partitions, deadline };
            }
            GroupEvent::Lost(partitions) => {
                count_rebalance("lost");
                tracing::warn!(kafka.partitions = ?partitions, "partitions lost: others may have them already");
                self.forget(&partitions);
                self.rebalance = Rebalance::None;
                self.consumer.unassign(&partitions)?;
            }
            GroupEvent::CommitTaken => self.refused = None,
            GroupEvent::Refused(why) => {
                self.member.config.kafka_health.down(why.clone());
                self.refused = Some(why);
            }
            GroupEvent::CommitRefused => self.assignment.forget_told(),
            GroupEvent::Astray(partition) => {
                if let Some(position) = self.assignment.position(partition) {
                    self.consumer.unassign(&[partition])?;
                    self.consumer.assign(&[(partition, position)])?;
                }
            }
        }
        Ok(())
    }

    /// Asks the database where the partitions start, with what Kafka says of their logs.
    pub(super) fn ask_for_starts(&mut self, partitions: Vec<i32>) {
        self.link.outdate_look();
        let config = &self.member.config;
        let wanted = self.starts_wanted(&partitions);
        // An assignment that is not answered keeps the client from closing, so it is noted whatever comes next.
        self.rebalance = Rebalance::Assigning(partitions.clone());
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::warn!(error = &*error, "Kafka does not say what the assigned partitions hold");
                self.fail_assignment(format!(
                    "Kafka does not say what the assigned partitions hold: {error}"
                ));
                return;
            }
        };
        self.log = Arc::new(wanted.log.clone());
        let (database, timeout) = (config.database.clone(), config.assign_timeout);
        let (answer, owner) = (self.link.answer.clone(), thread::current());
        self.member.runtime.spawn(async move {
            let resolving = AssertUnwindSafe(starts::resolve(&database, &wanted, timeout));
            let reply = match resolving.catch_unwind().await {
                Ok(starts) => Reply::Starts(partitions, starts),
                Err(panic) => {
                    Reply::Panicked("reading the stored offsets", panics::message(&*panic).to_owned())
                }
            };
            send(&answer, &owner, reply);
        });
    }

    fn starts_wanted(&self, assigned: &[i32]) -> Result<StartsWanted, Box<dyn std::error::Error>> {
        let config = &self.member.config;
        let log = Log::new(&config.kafka.kafka_topic, self.consumer.identify(KAFKA_TIMEOUT)?);
        let looked_at = match config.start {
            Start::Earliest => assigned.to_vec(),
            Start::Latest => (0..self.consumer.topic_partition_count(KAFKA_TIMEOUT)? as i32).collect(),
        };
        let mut logs = Vec::with_capacity(looked_at.len());
        for partition in looked_at {
            // Each question has its bound, and there may be many.
            self.member.pulse.beat();
            let watermarks = self.consumer.watermarks(partition, KAFKA_TIMEOUT)?;
            logs.push(PartitionLog { partition, watermarks });
        }
        Ok(StartsWanted { log, start: config.start, assigned: assigned.to_vec(), logs })
    }

    pub(super) fn on_starts(&mut self, starts: Vec<PartitionStart>) -> Result<(), MemberError> {
        let starts = match self.confirmed(starts) {
            Ok(starts) => starts,
            Err(error) => {
                tracing::warn!(error = %error, "Kafka does not say where the assigned partitions end");
                self.fail_assignment(format!(
                    "Kafka does not say where the assigned partitions end: {error}"
                ));
                return Ok(());
            }
        };
        self.rebalance = Rebalance::None;
        self.was_assigned = true;
        // Who had them before may have.
        self.may_have_reported = true;
        let mut good = Vec::with_capacity(starts.len());
        for PartitionStart { stored, gap } in starts {
            match gap {
                None => {
                    self.blocked.remove(&stored.partition);
                    good.push((stored.partition, stored.next_offset));
                    self.assignment.start(stored.partition, stored.next_offset, stored.given_times);
                }
                Some(gap) => self.block(stored, gap),
            }
        }
        tracing::info!(kafka.starts = ?good, "partitions assigned at their stored offsets");
        metrics::gauge!(ASSIGNED_PARTITIONS).increment(good.len() as f64);
        self.consumer.assign(&good)?;
        self.settle_assignment();
        if self.drain_deadline.is_some() {
            self.consumer.hold(&self.assignment.partitions());
        }
        Ok(())
    }

    /// Nothing of the batch was written. What is somebody else's is dropped, the rest goes again.
    pub(super) fn on_fenced(&mut self, mut batch: Batch, fences: &[Fence]) -> Result<(), MemberError> {
        self.link.in_flight = InFlight::default();
        let (mut settled, mut moved) = (BTreeSet::new(), Vec::new());
        for fence in fences {
            let Some(span) = batch.spans().iter().find(|span| span.partition == fence.partition) else {
                continue;
            };
            settled.insert(span.partition);
            match &fence.stored {
                Some(stored) if stored.topic_id == self.log.topic_id => match stored.next_offset {
                    // The answer to an earlier COMMIT was lost; the batch is there.
                    next if next == span.next => _ = self.assignment.committed(span.partition, next),
                    // Seen in the middle of somebody's change that came to nothing: not settled.
                    next if next == span.expected => _ = settled.remove(&span.partition),
                    _ => moved.push(stored.clone()),
                },
                // Its row is gone or of another topic, as after a restore: it needs a new start.
                _ => self.must_leave = true,
            }
        }
        batch.discard(&settled);
        self.move_to(moved)?;
        if batch.is_empty() || self.must_leave {
            self.keep_for_reuse(batch);
        } else {
            self.send_to_writer(batch, None);
        }
        Ok(())
    }

    /// Nothing of the batch was written, for it is too much: its partitions are read again from where they stand, in
    /// smaller batches.
    pub(super) fn on_too_much(
        &mut self,
        batch: Batch,
        fits: usize,
        stored: Vec<StoredOffset>,
    ) -> Result<(), MemberError> {
        self.link.in_flight = InFlight::default();
        self.link.batch_size.cut(batch.record_count(), fits);
        self.keep_for_reuse(batch);
        self.link.batch_size.limit(&mut self.filling);
        self.read_from(stored)
    }

    /// Continues partitions at stored offsets that others, or a restore, have moved.
    pub(super) fn move_to(&mut self, moved: Vec<StoredOffset>) -> Result<(), MemberError> {
        for StoredOffset { partition, next_offset: offset, .. } in &moved {
            tracing::warn!(
                kafka.partition = partition,
                offset,
                "the stored offset was moved by somebody else; what was held of the partition is dropped"
            );
        }
        self.read_from(moved)
    }

    /// Reads partitions from their stored offsets; what is held of them is dropped.
    fn read_from(&mut self, stored: Vec<StoredOffset>) -> Result<(), MemberError> {
        self.filling.discard(&stored.iter().map(|stored| stored.partition).collect());
        for StoredOffset { partition, next_offset: offset, given_times, .. } in stored {
            let is_kept = self.assignment.owns(partition) && !self.rebalance.is_revoking(partition);
            if is_kept {
                self.consumer.unassign(&[partition])?;
                self.consumer.assign(&[(partition, offset)])?;
                self.assignment.start(partition, offset, given_times);
            } else {
                self.forget(&[partition]);
            }
        }
        Ok(())
    }

    pub(super) fn on_offset_out_of_range(
        &mut self,
        partition: i32,
        error: &FetchError,
    ) -> Result<(), MemberError> {
        let Some(position) = self.assignment.position(partition) else { return Ok(()) };
        match self.gap_at(partition, position) {
            // A broker that was behind, or an answer that is none: the log has the offset.
            Ok(None) => self.retry(partition, FetchFault::Passing, error),
            Ok(Some(gap)) => {
                self.consumer.unassign(&[partition])?;
                // Where it stands once all that was taken is committed.
                let topic_id = self.log.topic_id.clone();
                let given_times = self.assignment.given_times(partition).cloned().unwrap_or_default();
                self.block(StoredOffset { partition, next_offset: position, topic_id, given_times }, gap);
            }
            Err(error) => {
                // The assignment that follows finds out.
                tracing::warn!(error = &*error, "Kafka does not say what an assigned partition holds");
                self.must_leave = true;
            }
        }
        Ok(())
    }

    /// The logs' ends were asked for before the stored offsets were read, and who had a partition before may have
    /// stored what came in between: an offset that looks past the end is held against the end of now.
    fn confirmed(&self, mut starts: Vec<PartitionStart>) -> Result<Vec<PartitionStart>, ConsumerError> {
        for start in starts.iter_mut().filter(|start| start.gap == Some(Gap::OffsetPastEnd)) {
            let watermarks = self.consumer.watermarks(start.stored.partition, KAFKA_TIMEOUT)?;
            start.gap = Gap::between(&start.stored, &self.log.topic_id, watermarks);
        }
        Ok(starts)
    }

    /// A partition is not read until somebody moves its stored offset.
    fn block(&mut self, stored: StoredOffset, gap: Gap) {
        let partition = stored.partition;
        self.rereads.remove(&[partition]);
        self.blocked.insert(partition, stored);
        if self.member.config.stalled.add(partition, Stall::Gap(gap)) {
            starts::report_gap(&self.log, partition, gap);
        }
    }

    /// Why a partition cannot be read on from where it stands.
    fn gap_at(&self, partition: i32, position: i64) -> Result<Option<Gap>, Box<dyn std::error::Error>> {
        let topic_id = self.consumer.identify(KAFKA_TIMEOUT)?.topic_id;
        let watermarks = self.consumer.watermarks(partition, KAFKA_TIMEOUT)?;
        let position = StoredOffset {
            partition,
            next_offset: position,
            topic_id: self.log.topic_id.clone(),
            given_times: GivenTimes::default(),
        };
        Ok(Gap::between(&position, &topic_id, watermarks))
    }

    pub(super) fn give_up_revoked(&mut self) -> Result<(), MemberError> {
        let (filling, in_flight) = (&self.filling, &self.link.in_flight);
        let is_pending = |partition| filling.has(partition) || in_flight.has(partition);
        if let Some(partitions) = self.rebalance.take_revoked(Instant::now(), is_pending) {
            self.commit_to_kafka();
            self.forget(&partitions);
            self.consumer.unassign(&partitions)?;
            tracing::info!(kafka.partitions = ?partitions, "partitions given up");
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, partitions: &[i32]) {
        for &partition in partitions {
            if self.assignment.owns(partition) {
                metrics::gauge!(ASSIGNED_PARTITIONS).decrement(1);
            }
        }
        self.filling.discard(&partitions.iter().copied().collect());
        self.assignment.remove(partitions);
        self.blocked.retain(|partition, _| !partitions.contains(partition));
        self.rereads.remove(partitions);
        self.member.config.stalled.remove(partitions.iter().copied());
    }
}

fn count_rebalance(event: &'static str) {
    metrics::counter!(REBALANCES, "event" => event).increment(1);
}
