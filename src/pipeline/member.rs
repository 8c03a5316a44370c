//! A consumer: its thread, its writer, and one membership of the group after the other.

use std::{
    sync::mpsc as replies,
    thread::Thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Absences, FirstTrial, GroupWatch, Outage, StalledPartitions,
    batch_size::BatchSize,
    lag::{InFlight, Lag},
    start_offsets::StoredStarts,
    writer::{Job, Outcome},
};
use crate::{
    batch::{Batch, Limits},
    config::{DatabaseConfig, IngestConfig, KafkaConfig, KafkaSettings, Start},
    health::{Component, Pulse},
    kafka::{ConsumerError, TopicError},
    log::GroupClaim,
    panics,
    protocol::{State, Time},
    reading::untimed::GivenTimes,
    store::{StoreError, WriterConfig},
};

/// All that a consumer needs to know.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Where the stored offsets are.
    pub database: DatabaseConfig,
    /// Where the records are.
    pub kafka: KafkaConfig,
    /// What is passed through to librdkafka.
    pub settings: KafkaSettings,
    /// Which readings are accepted.
    pub ingest: IngestConfig,
    /// How batches are written.
    pub writer: WriterConfig,
    /// Bounds of a batch.
    pub limits: Limits,
    /// Longest wait of a reading for company while the writer is free.
    pub linger: Duration,
    /// Where a topic that has never been seen is read from.
    pub start: Start,
    /// Bound on reading the stored offsets.
    pub assign_timeout: Duration,
    /// Bound on committing what is in flight before partitions go or the process stops.
    pub drain_timeout: Duration,
    /// Told when batches cannot be written, and when they can again.
    pub health: Component,
    /// Told which consumers are kept out of the group.
    pub absences: Absences,
    /// Told which partitions are stalled.
    pub stalled: StalledPartitions,
    /// Told when Kafka does not answer, and when it does again.
    pub kafka_health: Component,
    /// Asked whether the group is another database's.
    pub group_watch: GroupWatch,
    /// How all consumers of the process start.
    pub first_trial: FirstTrial,
    /// What all consumers of the process say together while batches cannot be written.
    pub outage: Outage,
}

/// A consumer cannot go on; the process should end and say so.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Kafka's client failed for good.
    #[error("the consumer failed")]
    Consumer(#[from] ConsumerError),
    /// The topic is missing or not one that can be consumed.
    #[error("the topic cannot be consumed")]
    Topic(#[from] TopicError),
    /// What writes its batches is gone, and with it the batch in flight; Kafka has that.
    #[error("the writer of a consumer {0}")]
    Writer(String),
    /// A question to the database was not answered, for what asked it is gone.
    #[error("{0} panicked: {1}")]
    Question(&'static str, String),
}

/// A consumer: its thread runs [`Member::run`].
pub struct Member {
    pub(super) config: MemberConfig,
    pub(super) index: usize,
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    pub(super) pulse: Pulse,
}

/// What others answer to the loop.
pub(super) enum Reply {
    Wrote(Outcome),
    /// Where these partitions start; asked in the membership of this number.
    Starts(u64, Vec<i32>, Result<StoredStarts, StoreError>),
    /// Whether an empty write passes.
    Tried(Result<(), StoreError>),
    /// How this database stands to the group; asked in the membership of this number.
    Group(u64, GroupClaim),
    /// What was asked for panicked, with this message.
    Panicked(&'static str, String),
}

/// The loop's end of its channels. At most one batch and one look are under way, so the channels are short.
pub(super) struct Link {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) answers: replies::Receiver<Reply>,
    pub(super) answer: replies::Sender<Reply>,
    /// What the consumer knows and decides.
    pub(super) state: State<GivenTimes>,
    /// When its clock began.
    pub(super) started: Instant,
    /// The batch that is being written.
    pub(super) in_flight: InFlight,
    /// How much a batch may have.
    pub(super) batch_size: BatchSize,
    /// Batches that are not in use, for their memory.
    pub(super) spare: Option<Batch>,
    /// How far behind the consumer has told to be.
    pub(super) lag: Lag,
    /// The task that writes.
    pub(super) writer: JoinHandle<()>,
    /// Counts the memberships: what is answered after one has ended is not for the next.
    pub(super) membership: u64,
    /// Assignments in a row that failed.
    pub(super) failed_assignments: u32,
    /// Until it is over.
    pub(super) first_trial: Option<FirstTrial>,
}

impl Link {
    /// A batch to fill.
    pub(super) fn empty_batch(&mut self, limits: Limits) -> Batch {
        let mut batch = self.spare.take().unwrap_or_else(|| Batch::new(limits));
        self.batch_size.limit(&mut batch);
        batch
    }

    /// The moment on the consumer's clock.
    pub(super) fn now(&self) -> Time {
        self.started.elapsed()
    }
}

impl Member {
    /// The consumer of this number in the process; it stops when `stop` is cancelled, and beats while it turns.
    pub fn new(
        config: MemberConfig,
        index: usize,
        runtime: Handle,
        stop: CancellationToken,
        pulse: Pulse,
    ) -> Self {
        Self { config, index, runtime, stop, pulse }
    }
}

/// An error once the writer's task has ended; nobody asks it to while its consumer runs.
pub(super) fn check_writer(runtime: &Handle, writer: &mut JoinHandle<()>) -> Result<(), MemberError> {
    if !writer.is_finished() {
        return Ok(());
    }
    Err(MemberError::Writer(match runtime.block_on(writer) {
        Ok(()) => "ended unexpectedly".to_owned(),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => format!("panicked: {}", panics::message(&*panic)),
            Err(error) => error.to_string(),
        },
    }))
}

pub(super) fn send(answer: &replies::Sender<Reply>, owner: &Thread, reply: Reply) {
    // Nobody listens any more once the loop has ended; then nothing depends on the answer.
    let _ = answer.send(reply);
    owner.unpark();
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_writer_that_ends_is_noticed_and_named() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (go_on, waiting) = oneshot::channel::<Vec<i32>>();
        let mut writer = runtime.spawn(async { assert_eq!(waiting.await.unwrap(), [1], "rows are missing") });
        assert!(check_writer(runtime.handle(), &mut writer).is_ok(), "it is at work");
        go_on.send(vec![]).unwrap();
        while !writer.is_finished() {
            std::thread::yield_now();
        }
        let error = check_writer(runtime.handle(), &mut writer).unwrap_err().to_string();
        assert!(error.starts_with("the writer of a consumer panicked: "), "{error}");
        assert!(error.contains("rows are missing"), "{error}");
    }
}
