//! The loop of one consumer: it owns the assignment, fills batches and hands them to the writer.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc as replies},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Log,
    assignment::{Admission, Assignment},
    rebalance::Rebalance,
    starts::{self, PartitionLog, PartitionStart, StartsWanted},
    writer::{self, Job, Outcome},
};
use crate::{
    batch::{Batch, Limits, offset_after},
    config::{DatabaseConfig, IngestConfig, KafkaConfig, KafkaSettings, Start},
    health::Component,
    kafka::{Consumer, ConsumerError, GroupEvent, TopicError, TopicIdentity},
    metrics::{ASSIGNED_PARTITIONS, LAG_RECORDS, REBALANCES},
    reading::{Timestamp, Window},
    store::{BatchWriter, Fence, StoreError, WriterConfig},
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
}

/// How long one question to Kafka may take.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);
/// The loop turns at least this often, so that the group is served whatever happens.
const TURN: Duration = Duration::from_millis(50);
/// How often offsets go to Kafka and lag is measured.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Bound on leaving the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Most records taken out of one partition's queue before it is the next one's turn.
const MAX_DRAIN: usize = 1_024;
/// Most records taken at first. Then as many as were taken before: what they hold tells how many more fit.
const FIRST_DRAIN: usize = 16;

/// A consumer: its thread runs [`Member::run`].
pub struct Member {
    config: MemberConfig,
    runtime: Handle,
    stop: CancellationToken,
}

/// How a session in the group ended.
enum Ended {
    /// The process stops.
    Stopped,
    /// The group was left, to be joined again once the database answers.
    Left,
}

/// What others answer to the loop.
enum Reply {
    Wrote(Outcome),
    Starts(Result<Vec<PartitionStart>, StoreError>),
}

/// The loop's end of its channels. At most one job is under way, so the channels are short.
struct Link {
    jobs: mpsc::Sender<Job>,
    answers: replies::Receiver<Reply>,
    answer: replies::Sender<Reply>,
    /// Partitions of the batch that is being written.
    in_flight: Vec<i32>,
    /// Batches that are not in use, for their memory.
    spare: Option<Batch>,
}

impl Member {
    /// A consumer that stops when `stop` is cancelled.
    pub fn new(config: MemberConfig, runtime: Handle, stop: CancellationToken) -> Self {
        Self { config, runtime, stop }
    }

    /// Consumes until asked to stop; blocks the thread.
    pub fn run(&self) -> Result<(), MemberError> {
        let abandon = CancellationToken::new();
        let _abandon_at_end = abandon.clone().drop_guard();
        let (jobs, jobs_taken) = mpsc::channel(1);
        let (answer, answers) = replies::channel();
        let (answer_writer, owner) = (answer.clone(), thread::current());
        let done = move |outcome| send(&answer_writer, &owner, Reply::Wrote(outcome));
        let store = BatchWriter::new(self.config.writer.clone());
        let health = self.config.health.clone();
        self.runtime.spawn(writer::run(store, health, jobs_taken, abandon, done));
        let mut link = Link { jobs, answers, answer, in_flight: vec![], spare: None };
        loop {
            match Session::join(self, &mut link)? {
                None => return Ok(()),
                Some(session) => match session.run()? {
                    Ended::Stopped => return Ok(()),
                    Ended::Left => self.wait_for_database(),
                },
            }
        }
    }

    /// Waits, out of the group, until the database answers or the process stops.
    fn wait_for_database(&self) {
        tracing::warn!("left the group, so that others may take over; waiting for Postgres to answer");
        while !self.stop.is_cancelled() {
            let database = &self.config.database;
            if self.runtime.block_on(crate::store::answers(database)) {
                tracing::info!("Postgres answers; joining the group again");
                return;
            }
            thread::park_timeout(HOUSEKEEPING);
        }
    }
}

fn send(answer: &replies::Sender<Reply>, owner: &Thread, reply: Reply) {
    // Nobody listens any more once the loop has ended; then nothing depends on the answer.
    let _ = answer.send(reply);
    owner.unpark();
}

/// One membership in the group.
struct Session<'a> {
    member: &'a Member,
    link: &'a mut Link,
    consumer: Consumer,
    log: Arc<Log>,
    window: Window,
    assignment: Assignment,
    rebalance: Rebalance,
    filling: Batch,
    filling_since: Option<Instant>,
    last_housekeeping: Instant,
    /// Set once the process stops: when to give up what is still in flight.
    drain_deadline: Option<Instant>,
    /// Set when the group has to be left.
    must_leave: bool,
}

impl<'a> Session<'a> {
    /// Joins the group once Kafka says which topic it is about; none where the process stops before.
    fn join(member: &'a Member, link: &'a mut Link) -> Result<Option<Self>, MemberError> {
        let config = &member.config;
        let consumer = Consumer::join(&config.kafka, &config.settings)?;
        let log = loop {
            match consumer.identify(KAFKA_TIMEOUT) {
                Ok(identity) => break log_of(&config.kafka, identity),
                Err(error) if !error.is_retriable() => return Err(error.into()),
                Err(error) => tracing::warn!(error = %error, "waiting for Kafka"),
            }
            thread::park_timeout(HOUSEKEEPING);
            if member.stop.is_cancelled() {
                return Ok(None);
            }
        };
        let filling = link.spare.take().unwrap_or_else(|| Batch::new(config.limits));
        Ok(Some(Self {
            member,
            link,
            consumer,
            log: Arc::new(log),
            window: window(&config.ingest),
            assignment: Assignment::default(),
            rebalance: Rebalance::None,
            filling,
            filling_since: None,
            last_housekeeping: Instant::now(),
            drain_deadline: None,
            must_leave: false,
        }))
    }

    /// The loop. Nothing in it waits but the park at its end, which ends when there is something to do.
    fn run(mut self) -> Result<Ended, MemberError> {
        loop {
            while let Some(event) = self.consumer.poll_group()? {
                self.on_group_event(event)?;
            }
            while let Ok(reply) = self.link.answers.try_recv() {
                self.on_reply(reply)?;
            }
            self.stop_intake_when_asked();
            let taken = self.take_records();
            self.housekeeping(taken == 0);
            self.submit();
            self.give_up_revoked()?;
            if self.must_leave || self.is_drained() {
                return Ok(self.leave());
            }
            if taken == 0 || self.filling.is_full() {
                thread::park_timeout(self.pause());
            }
        }
    }

    fn on_group_event(&mut self, event: GroupEvent) -> Result<(), MemberError> {
        match event {
            GroupEvent::Assigned(partitions) => {
                count_rebalance("assigned");
                self.ask_for_starts(partitions);
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
            GroupEvent::OffsetOutOfRange(partition) => self.on_offset_out_of_range(partition)?,
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
    fn ask_for_starts(&mut self, partitions: Vec<i32>) {
        let config = &self.member.config;
        let wanted = match self.starts_wanted(&partitions) {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::warn!(error = &*error, "Kafka does not say what the assigned partitions hold");
                self.must_leave = true;
                return;
            }
        };
        self.log = Arc::new(wanted.log.clone());
        self.rebalance = Rebalance::Assigning(partitions);
        let (database, timeout) = (config.database.clone(), config.assign_timeout);
        let (answer, owner) = (self.link.answer.clone(), thread::current());
        self.member.runtime.spawn(async move {
            let starts = starts::resolve(&database, &wanted, timeout).await;
            send(&answer, &owner, Reply::Starts(starts));
        });
    }

    fn starts_wanted(&self, assigned: &[i32]) -> Result<StartsWanted, Box<dyn std::error::Error>> {
        let config = &self.member.config;
        let log = log_of(&config.kafka, self.consumer.identify(KAFKA_TIMEOUT)?);
        let looked_at = match config.start {
            Start::Earliest => assigned.to_vec(),
            Start::Latest => (0..self.consumer.topic_partition_count(KAFKA_TIMEOUT)? as i32).collect(),
        };
        let mut logs = Vec::with_capacity(looked_at.len());
        for partition in looked_at {
            let watermarks = self.consumer.watermarks(partition, KAFKA_TIMEOUT)?;
            logs.push(PartitionLog { partition, watermarks });
        }
        Ok(StartsWanted { log, start: config.start, assigned: assigned.to_vec(), logs })
    }

    fn on_reply(&mut self, reply: Reply) -> Result<(), MemberError> {
        match reply {
            Reply::Starts(Ok(starts)) => self.on_starts(&starts),
            Reply::Starts(Err(error)) => {
                tracing::warn!(error = %error, cause = error.cause(), "the stored offsets cannot be read");
                self.must_leave = true;
                Ok(())
            }
            Reply::Wrote(Outcome::Committed(batch)) => {
                self.link.in_flight.clear();
                for span in batch.spans() {
                    self.assignment.committed(span.partition, span.next);
                }
                self.keep_for_reuse(batch);
                Ok(())
            }
            Reply::Wrote(Outcome::Fenced(batch, fences)) => self.on_fenced(batch, &fences),
        }
    }

    fn on_starts(&mut self, starts: &[PartitionStart]) -> Result<(), MemberError> {
        // The partitions may have been lost, or be asked back, while the database was looked at.
        let Rebalance::Assigning(wanted) = &self.rebalance else { return Ok(()) };
        if !starts.iter().all(|start| wanted.contains(&start.partition)) {
            return Ok(());
        }
        self.rebalance = Rebalance::None;
        let mut good = Vec::with_capacity(starts.len());
        for start in starts {
            match start.start {
                Ok(offset) => good.push((start.partition, offset)),
                Err(gap) => starts::report_gap(&self.log, start.partition, gap),
            }
        }
        for &(partition, offset) in &good {
            self.assignment.start(partition, offset);
        }
        tracing::info!(kafka.starts = ?good, "partitions assigned at their stored offsets");
        metrics::gauge!(ASSIGNED_PARTITIONS).increment(good.len() as f64);
        self.consumer.assign(&good)?;
        if self.drain_deadline.is_some() {
            self.consumer.hold(&self.assignment.partitions());
        }
        Ok(())
    }

    /// Nothing of the batch was written. What is somebody else's is dropped, the rest goes again.
    fn on_fenced(&mut self, mut batch: Batch, fences: &[Fence]) -> Result<(), MemberError> {
        self.link.in_flight.clear();
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
                    next => moved.push((span.partition, next)),
                },
                // Its row is gone or of another topic, as after a restore: it needs a new start.
                _ => self.must_leave = true,
            }
        }
        batch.discard(&settled);
        self.move_to(&moved)?;
        if batch.is_empty() || self.must_leave {
            self.keep_for_reuse(batch);
        } else {
            self.send_to_writer(batch);
        }
        Ok(())
    }

    /// Continues partitions at stored offsets that others, or a restore, have moved.
    fn move_to(&mut self, moved: &[(i32, i64)]) -> Result<(), MemberError> {
        let discarded: BTreeSet<i32> = moved.iter().map(|&(partition, _)| partition).collect();
        self.filling.discard(&discarded);
        for &(partition, offset) in moved {
            let is_kept = self.assignment.owns(partition) && !self.rebalance.is_revoking(partition);
            tracing::warn!(
                kafka.partition = partition,
                offset,
                is_kept,
                "the stored offset was moved by somebody else; what was held of the partition is dropped"
            );
            self.assignment.remove(&[partition]);
            if is_kept {
                self.consumer.unassign(&[partition])?;
                self.consumer.assign(&[(partition, offset)])?;
                self.assignment.start(partition, offset);
            }
        }
        Ok(())
    }

    fn on_offset_out_of_range(&mut self, partition: i32) -> Result<(), MemberError> {
        let Some(position) = self.assignment.position(partition) else { return Ok(()) };
        let gap = match self.consumer.watermarks(partition, KAFKA_TIMEOUT) {
            Ok(watermarks) if position < watermarks.low => starts::Gap::RecordsExpired,
            Ok(_) => starts::Gap::OffsetPastEnd,
            Err(error) => return Err(error.into()),
        };
        starts::report_gap(&self.log, partition, gap);
        self.consumer.unassign(&[partition])?;
        Ok(())
    }

    /// Fills the batch from the partitions' queues, in turns. Returns how many records were taken.
    fn take_records(&mut self) -> usize {
        let (mut taken, mut empty) = (0, 0);
        self.window = window(&self.member.config.ingest);
        let Self { consumer, filling, assignment, window, .. } = self;
        while !filling.is_full() && empty < consumer.partition_count() {
            let most = filling.room_in_records().min(taken.clamp(FIRST_DRAIN, MAX_DRAIN));
            let count = consumer.drain_next(most, |record| {
                if let Admission::Take { position } = assignment.admit(record.partition, record.offset) {
                    filling.push(record, position, window);
                    assignment.advance(record.partition, offset_after(record.offset));
                }
            });
            taken += count;
            empty = if count == 0 { empty + 1 } else { 0 };
        }
        if !self.filling.is_empty() {
            self.filling_since.get_or_insert_with(Instant::now);
        }
        taken
    }

    /// Hands the batch over when the writer is free, and the batch is full or has lingered.
    fn submit(&mut self) {
        let is_due = self.filling.is_full()
            || self.filling_since.is_some_and(|since| since.elapsed() >= self.member.config.linger)
            || self.drain_deadline.is_some();
        if self.filling.is_empty() || !is_due || !self.link.in_flight.is_empty() {
            return;
        }
        let next = self.link.spare.take().unwrap_or_else(|| Batch::new(self.member.config.limits));
        let batch = std::mem::replace(&mut self.filling, next);
        self.filling_since = None;
        self.send_to_writer(batch);
    }

    fn send_to_writer(&mut self, batch: Batch) {
        self.link.in_flight = batch.spans().iter().map(|span| span.partition).collect();
        let job = Job { log: Arc::clone(&self.log), batch };
        if self.link.jobs.try_send(job).is_err() {
            // One job at a time fits always; only a writer that is gone refuses.
            tracing::error!("the writer has ended unasked");
            self.must_leave = true;
        }
    }

    fn give_up_revoked(&mut self) -> Result<(), MemberError> {
        let (filling, in_flight) = (&self.filling, &self.link.in_flight);
        let is_pending = |partition| filling.has(partition) || in_flight.contains(&partition);
        if let Some(partitions) = self.rebalance.take_revoked(Instant::now(), is_pending) {
            self.commit_to_kafka();
            self.forget(&partitions);
            self.consumer.unassign(&partitions)?;
            tracing::info!(kafka.partitions = ?partitions, "partitions given up");
        }
        Ok(())
    }

    fn forget(&mut self, partitions: &[i32]) {
        for &partition in partitions {
            if self.assignment.owns(partition) {
                metrics::gauge!(LAG_RECORDS, "partition" => partition.to_string()).set(0);
                metrics::gauge!(ASSIGNED_PARTITIONS).decrement(1);
            }
        }
        self.filling.discard(&partitions.iter().copied().collect());
        self.assignment.remove(partitions);
    }

    /// Now and then: offsets to Kafka, lag, and past control records where there is nothing else.
    fn housekeeping(&mut self, is_idle: bool) {
        if self.last_housekeeping.elapsed() < HOUSEKEEPING {
            return;
        }
        self.last_housekeeping = Instant::now();
        if is_idle {
            for (partition, position) in self.consumer.positions() {
                if let Some(before) = self.assignment.position(partition).filter(|before| *before < position)
                {
                    self.filling.advance(partition, before, position);
                    self.assignment.advance(partition, position);
                    self.filling_since.get_or_insert_with(Instant::now);
                }
            }
        }
        self.commit_to_kafka();
        for (partition, stored) in self.assignment.stored() {
            if let Some(end) = self.consumer.known_end(partition) {
                metrics::gauge!(LAG_RECORDS, "partition" => partition.to_string())
                    .set((end - stored).max(0) as f64);
            }
        }
    }

    fn commit_to_kafka(&mut self) {
        let offsets = self.assignment.take_uncommitted();
        if !offsets.is_empty() {
            self.consumer.commit(&offsets);
        }
    }

    fn stop_intake_when_asked(&mut self) {
        if self.member.stop.is_cancelled() && self.drain_deadline.is_none() {
            self.drain_deadline = Some(Instant::now() + self.member.config.drain_timeout);
            self.consumer.hold(&self.assignment.partitions());
        }
    }

    fn is_drained(&self) -> bool {
        let is_empty = self.filling.is_empty() && self.link.in_flight.is_empty();
        self.drain_deadline.is_some_and(|deadline| is_empty || Instant::now() >= deadline)
    }

    fn leave(mut self) -> Ended {
        self.commit_to_kafka();
        let partitions = self.assignment.partitions();
        self.forget(&partitions);
        if let Rebalance::Assigning(partitions) = &self.rebalance {
            // librdkafka waits for an answer to every assignment, also before it lets a member go.
            let starts: Vec<(i32, i64)> = partitions.iter().map(|&partition| (partition, 0)).collect();
            if let Err(error) = self.consumer.assign(&starts) {
                tracing::debug!(error = %error, "assignment not answered before leaving");
            }
        }
        self.consumer.leave(LEAVE_TIMEOUT);
        match self.drain_deadline {
            Some(_) if self.link.in_flight.is_empty() => Ended::Stopped,
            Some(_) => {
                tracing::warn!(
                    "stopped with a batch in flight; Kafka has it, and it is done again from there"
                );
                Ended::Stopped
            }
            None => Ended::Left,
        }
    }

    fn keep_for_reuse(&mut self, mut batch: Batch) {
        batch.clear();
        self.link.spare = Some(batch);
    }

    /// How long there is nothing to do, unless somebody unparks the thread.
    fn pause(&self) -> Duration {
        match self.filling_since {
            Some(since) if self.link.in_flight.is_empty() => {
                self.member.config.linger.saturating_sub(since.elapsed()).min(TURN)
            }
            _ => TURN,
        }
    }
}

fn log_of(kafka: &KafkaConfig, identity: TopicIdentity) -> Log {
    Log { cluster_id: identity.cluster_id, topic: kafka.kafka_topic.clone(), topic_id: identity.topic_id }
}

fn window(ingest: &IngestConfig) -> Window {
    let ahead = i64::try_from(ingest.accept_ahead.as_micros()).unwrap_or(i64::MAX);
    Window { since: ingest.accept_since, until: Timestamp::now().plus_micros(ahead) }
}

fn count_rebalance(event: &'static str) {
    metrics::counter!(REBALANCES, "event" => event).increment(1);
}
