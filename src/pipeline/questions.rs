//! What Kafka and the database are asked before a partition is read.

use std::{panic::AssertUnwindSafe, thread};

use futures_util::FutureExt as _;

use super::{
    member::{MemberError, Reply, send},
    session::Session,
    start_offsets::{self, KAFKA_TIMEOUT, PartitionLog, StartOffsetsWanted, StoredStarts},
};
use crate::{
    config::Start,
    kafka::{ConsumerError, TopicError},
    log::{Gap, Log, Watermarks},
    panics,
    protocol::{Compared, Event, PartitionStart},
    reading::untimed::GivenTimes,
    store::StoreError,
};

/// Kafka does not say what a log is.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    Log(#[from] ConsumerError),
}

impl Session<'_> {
    /// Asks the database where the partitions start, with what Kafka says of their logs.
    pub(super) fn request_start_offsets(&mut self, partitions: Vec<i32>) -> Result<(), MemberError> {
        let wanted = match self.start_offsets_wanted(&partitions) {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::warn!(error = %error, "Kafka does not say what the assigned partitions hold");
                let reason = format!("Kafka does not say what the assigned partitions hold: {error}");
                return self.fail_assignment(partitions, reason);
            }
        };
        if wanted.log != *self.log {
            tracing::warn!("the topic is not the one that was joined for; joining the group again");
            return self.on(Event::StartOffsetsFailed { asked: partitions });
        }
        let config = &self.member.config;
        let (database, timeout) = (config.database.clone(), config.assign_timeout);
        let (answer, owner) = (self.link.answer.clone(), thread::current());
        let membership = self.link.membership;
        self.member.runtime.spawn(async move {
            let resolving = AssertUnwindSafe(start_offsets::resolve(&database, &wanted, timeout));
            let reply = match resolving.catch_unwind().await {
                Ok(starts) => Reply::Starts(membership, partitions, starts),
                Err(panic) => {
                    Reply::Panicked("reading the stored offsets", panics::message(&*panic).to_owned())
                }
            };
            send(&answer, &owner, reply);
        });
        Ok(())
    }

    fn start_offsets_wanted(&self, assigned: &[i32]) -> Result<StartOffsetsWanted, Unanswered> {
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
        Ok(StartOffsetsWanted { log, start: config.start, assigned: assigned.to_vec(), logs })
    }

    pub(super) fn on_start_offsets(
        &mut self,
        asked: Vec<i32>,
        starts: Result<StoredStarts, StoreError>,
    ) -> Result<(), MemberError> {
        // The partitions may have been lost, or be wanted back: then how it went is nobody's concern.
        if !self.link.state.awaits_start_offsets(&asked) {
            return Ok(());
        }
        let starts = match starts {
            Ok(StoredStarts { database, starts }) if database == self.database => starts,
            // It was dropped, or restored from another one's backup: the group has to be told.
            Ok(StoredStarts { database, .. }) => {
                tracing::warn!(joined_for = %self.database, %database, "the database is another one; joining the group again");
                return self.on(Event::StartOffsetsFailed { asked });
            }
            Err(error) => {
                tracing::warn!(error = %error, cause = error.cause(), "the stored offsets cannot be read");
                let reason = format!("the stored offsets cannot be read: {}", error.server_message());
                return self.fail_assignment(asked, reason);
            }
        };
        match self.confirmed(starts) {
            Ok(starts) => self.on(Event::Starts { asked, starts }),
            Err(error) => {
                tracing::warn!(error = %error, "Kafka does not say where the assigned partitions end");
                let reason = format!("Kafka does not say where the assigned partitions end: {error}");
                self.fail_assignment(asked, reason)
            }
        }
    }

    /// The logs' ends were asked for before the stored offsets were read, and who had a partition before may have
    /// stored what came in between: an offset that looks past the end is held against the end of now.
    fn confirmed(
        &self,
        mut starts: Vec<PartitionStart<GivenTimes>>,
    ) -> Result<Vec<PartitionStart<GivenTimes>>, ConsumerError> {
        for start in starts.iter_mut().filter(|start| start.gap == Some(Gap::OffsetPastEnd)) {
            let watermarks = self.consumer.watermarks(start.stored.partition, KAFKA_TIMEOUT)?;
            start.gap = start.stored.gap(&self.log.topic_id, watermarks).or(start.kept);
        }
        Ok(starts)
    }

    /// What the group assigned cannot be taken: it is left, to be joined again after a pause.
    fn fail_assignment(&mut self, asked: Vec<i32>, reason: String) -> Result<(), MemberError> {
        self.member.config.absences.add(self.member.index, reason);
        self.link.failed_assignments += 1;
        self.on(Event::StartOffsetsFailed { asked })
    }

    /// Why a partition cannot be read on from where it is.
    pub(super) fn compare(&mut self, partition: i32, position: i64) -> Result<(), MemberError> {
        let found = match self.gap_at(partition, position) {
            Ok((None, Watermarks { low, .. })) => Compared::NoGap { low },
            Ok((Some(gap), _)) => Compared::Gap(gap),
            Err(error) => {
                tracing::warn!(error = %error, "Kafka does not say what an assigned partition holds");
                Compared::Unknown
            }
        };
        self.on(Event::Compared { partition, found })
    }

    fn gap_at(&self, partition: i32, next_offset: i64) -> Result<(Option<Gap>, Watermarks), Unanswered> {
        let topic_id = self.consumer.identify(KAFKA_TIMEOUT)?.topic_id;
        let watermarks = self.consumer.watermarks(partition, KAFKA_TIMEOUT)?;
        Ok((Gap::between(&self.log.topic_id, next_offset, &topic_id, watermarks), watermarks))
    }
}
