//! One membership in the group: the loop that takes records, hands batches over and stops.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    Log,
    assignment::{Admission, Assignment},
    lag::InFlight,
    leaving::LEAVE_TIMEOUT,
    member::{Link, Look, Member, MemberError, Reply, check_writer},
    ownership::KAFKA_TIMEOUT,
    rebalance::Rebalance,
    rereads::Rereads,
    writer::{Job, Outcome},
};
use crate::{
    batch::{Batch, offset_after},
    kafka::{Consumer, FetchError, Fetched},
    metrics::BATCH_PHASE_SECONDS,
    reading::Timestamp,
    store::StoredOffset,
    traces::Filled,
};

/// The loop turns at least this often, so that the group is served whatever happens.
const TURN: Duration = Duration::from_millis(50);
/// How often offsets go to Kafka and lag is measured.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often Kafka is asked while it does not answer.
const KAFKA_PAUSE: Duration = Duration::from_secs(1);
/// Most records taken out of one partition's queue before it is the next one's turn.
const MAX_DRAIN: usize = 1_024;
/// Most records taken at first. Then as many as were taken before: what they hold tells how many more fit.
const FIRST_DRAIN: usize = 16;

/// How a session in the group ended.
pub(super) enum Ended {
    /// The process stops.
    Stopped,
    /// The group was left, to be joined again once the database lets us write.
    Left,
}

/// One membership in the group.
pub(super) struct Session<'a> {
    pub(super) member: &'a Member,
    pub(super) link: &'a mut Link,
    pub(super) consumer: Consumer,
    pub(super) log: Arc<Log>,
    pub(super) assignment: Assignment,
    pub(super) rebalance: Rebalance,
    /// Partitions that are ours and stalled at a gap, with the stored offset that they are stalled for.
    pub(super) blocked: BTreeMap<i32, StoredOffset>,
    /// Partitions whose fetch failed.
    pub(super) rereads: Rereads,
    /// The database may say of partitions of ours that they are stalled.
    pub(super) may_have_reported: bool,
    pub(super) filling: Batch,
    pub(super) filling_since: Option<Instant>,
    /// What filling the batch took: taking records, and decoding them.
    pub(super) filling_took: (Duration, Duration),
    /// Why Kafka does not have this member in its group, until it has it again.
    pub(super) refused: Option<String>,
    /// The group has said at least once what is ours.
    pub(super) was_assigned: bool,
    pub(super) last_housekeeping: Instant,
    pub(super) last_look: Instant,
    /// When the batch in flight was handed over.
    pub(super) submitted: Instant,
    /// When it was tried last whether the database lets us write.
    pub(super) last_trial: Option<Instant>,
    /// Set once the process stops: when to give up what is still in flight.
    pub(super) drain_deadline: Option<Instant>,
    /// Set when the group has to be left.
    pub(super) must_leave: bool,
}

impl<'a> Session<'a> {
    /// Joins the group once Kafka says which topic it is about; none where the process stops before.
    pub(super) fn join(member: &'a Member, link: &'a mut Link) -> Result<Option<Self>, MemberError> {
        let config = &member.config;
        let mut consumer = Consumer::join(&config.kafka, &config.settings, member.index)?;
        let log = loop {
            match consumer.identify(KAFKA_TIMEOUT) {
                Ok(identity) => break Log::new(&config.kafka.kafka_topic, identity),
                Err(error) if !error.is_retriable() => {
                    // Dropped in the middle of a rebalance, the client would wait for its answer for ever.
                    consumer.leave(&[], LEAVE_TIMEOUT);
                    return Err(error.into());
                }
                Err(error) => {
                    // Once, for all consumers: what was never up is not said to go down.
                    if !config.kafka_health.is_out() {
                        tracing::warn!(error = %error, "waiting for Kafka");
                    }
                    config.kafka_health.down(error.to_string());
                }
            }
            consumer.serve_log();
            member.pulse.beat();
            consumer.mend();
            thread::park_timeout(KAFKA_PAUSE);
            if member.stop.is_cancelled() {
                consumer.leave(&[], LEAVE_TIMEOUT);
                return Ok(None);
            }
        };
        link.outdate_look();
        config.kafka_health.up();
        let filling = link.empty_batch(config.limits);
        Ok(Some(Self {
            member,
            link,
            consumer,
            log: Arc::new(log),
            assignment: Assignment::default(),
            rebalance: Rebalance::None,
            blocked: BTreeMap::new(),
            rereads: Rereads::default(),
            may_have_reported: false,
            filling,
            filling_since: None,
            filling_took: (Duration::ZERO, Duration::ZERO),
            refused: None,
            was_assigned: false,
            last_housekeeping: Instant::now(),
            last_look: Instant::now(),
            submitted: Instant::now(),
            last_trial: None,
            drain_deadline: None,
            must_leave: false,
        }))
    }

    /// Consumes until there is a reason to leave the group, and leaves it, however that comes: a client that is dropped in
    /// the middle of a rebalance would stay in the group and keep its partitions from others.
    pub(super) fn run(mut self) -> Result<Ended, MemberError> {
        let turned = panic::catch_unwind(AssertUnwindSafe(|| self.turn()));
        if !matches!(turned, Ok(Ok(()))) {
            self.give_up_everything();
        }
        let ended = self.leave();
        match turned {
            Ok(turned) => turned.map(|()| ended),
            Err(panic) => panic::resume_unwind(panic),
        }
    }

    /// The loop. Nothing in it waits but the park at its end, which ends when there is something to do.
    fn turn(&mut self) -> Result<(), MemberError> {
        loop {
            self.member.pulse.beat();
            check_writer(&self.member.runtime, &mut self.link.writer)?;
            while let Some(event) = self.consumer.poll_group()? {
                self.on_group_event(event)?;
            }
            while let Ok(reply) = self.link.answers.try_recv() {
                self.on_reply(reply)?;
            }
            self.stop_intake_when_asked();
            let taken = self.take_records()?;
            self.read_again()?;
            self.housekeeping();
            self.look_at_stored_offsets();
            self.submit();
            self.give_up_revoked()?;
            if self.must_leave || self.is_drained() {
                return Ok(());
            }
            if taken == 0 || self.filling.is_full() {
                thread::park_timeout(self.pause());
            }
        }
    }

    fn on_reply(&mut self, reply: Reply) -> Result<(), MemberError> {
        match reply {
            // The partitions may have been lost, or be asked back, while the database was looked at.
            Reply::Starts(asked, _) if !self.rebalance.is_assigning(&asked) => Ok(()),
            Reply::Starts(_, Ok(starts)) => self.on_starts(starts),
            Reply::Starts(_, Err(error)) => {
                tracing::warn!(error = %error, cause = error.cause(), "the stored offsets cannot be read");
                self.fail_assignment(format!(
                    "the stored offsets cannot be read: {}",
                    error.server_message()
                ));
                Ok(())
            }
            Reply::Tried(tried) => {
                self.on_tried(tried);
                Ok(())
            }
            Reply::Panicked(asked, message) => Err(MemberError::Question(asked, message)),
            Reply::Wrote(Outcome::Committed(batch)) => {
                self.link.in_flight = InFlight::default();
                for span in batch.spans() {
                    self.assignment.committed(span.partition, span.next);
                }
                self.link.batch_size.written();
                self.keep_for_reuse(batch);
                Ok(())
            }
            Reply::Wrote(Outcome::TooMuch { batch, fits, stored }) => self.on_too_much(batch, fits, stored),
            Reply::Wrote(Outcome::Fenced(batch, fences)) => self.on_fenced(batch, &fences),
            Reply::Wrote(Outcome::Looked(Some(looked))) => self.on_looked(&looked),
            Reply::Wrote(Outcome::Looked(None)) => {
                self.link.look = Look::Idle;
                Ok(())
            }
        }
    }

    /// Fills the batch from the partitions' queues, in turns. Returns how many records were taken.
    fn take_records(&mut self) -> Result<usize, MemberError> {
        if self.drain_deadline.is_some() {
            return Ok(0);
        }
        let (mut taken, mut empty) = (0, 0);
        let (started, mut fetching) = (Instant::now(), Duration::ZERO);
        let window = self.member.config.ingest.acceptance().window(Timestamp::now());
        let mut failed: Vec<(i32, FetchError)> = Vec::new();
        let mut readable: Vec<i32> = Vec::new();
        let Self { consumer, filling, assignment, rereads, .. } = self;
        while !filling.is_full() && empty < consumer.partition_count() {
            let most = filling.room_in_records().min(taken.clamp(FIRST_DRAIN, MAX_DRAIN));
            let (count, took) = consumer.drain_next(most, |partition, item| match item {
                Fetched::Record(record) => {
                    if !rereads.is_empty() {
                        readable.push(partition);
                    }
                    if let Admission::Take { position } = assignment.admit(partition, record.offset)
                        && let Some(given) = assignment.given_times_mut(partition)
                    {
                        filling.push(&record, position, &window, given);
                        assignment.advance(partition, offset_after(record.offset));
                    }
                }
                Fetched::End(offset) => {
                    assignment.pass(partition, offset);
                    rereads.quiet(partition, started);
                }
                Fetched::Failed(error) => failed.push((partition, error)),
            });
            taken += count;
            fetching += took;
            empty = if count == 0 { empty + 1 } else { 0 };
        }
        if taken > 0 {
            let (fetch, decode) = &mut self.filling_took;
            *fetch += fetching;
            *decode += started.elapsed().saturating_sub(fetching);
        }
        if !self.filling.is_empty() {
            self.filling_since.get_or_insert_with(Instant::now);
        }
        self.on_readable(&readable);
        for (partition, error) in failed {
            self.on_fetch_failed(partition, &error)?;
        }
        Ok(taken)
    }

    /// Hands the batch over when the writer is free, and the batch is full or has lingered.
    fn submit(&mut self) {
        let is_due = self.filling.is_full()
            || self.filling_since.is_some_and(|since| since.elapsed() >= self.member.config.linger)
            || self.drain_deadline.is_some();
        if self.filling.is_empty() || !is_due || !self.link.in_flight.is_empty() {
            return;
        }
        let next = self.link.empty_batch(self.member.config.limits);
        let mut batch = std::mem::replace(&mut self.filling, next);
        // All that was taken is in it, so what has been given up to now belongs to where it ends.
        batch.note_given_times(|partition| self.assignment.given_times(partition));
        let (fetch, decode) = std::mem::take(&mut self.filling_took);
        let filled = self.filling_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        let wait = filled.saturating_sub(fetch + decode);
        for (phase, took) in [("fetch", fetch), ("decode", decode), ("wait", wait)] {
            metrics::histogram!(BATCH_PHASE_SECONDS, "phase" => phase).record(took);
        }
        let ended = Instant::now();
        // The first records were taken before it was known that there are some.
        let started = ended.checked_sub(filled.max(fetch + decode)).unwrap_or(ended);
        self.send_to_writer(batch, Some(Box::new(Filled { started, ended, fetch, decode })));
    }

    /// `filled` is none where the batch was handed over before.
    pub(super) fn send_to_writer(&mut self, batch: Batch, filled: Option<Box<Filled>>) {
        self.link.in_flight = InFlight::of(&batch);
        self.submitted = Instant::now();
        let job = Job::Write { log: Arc::clone(&self.log), batch, filled };
        if self.link.jobs.try_send(job).is_err() {
            // One batch and one look fit always; only a writer that is gone refuses, and that is noticed at the next turn.
            tracing::debug!("the writer took no batch");
        }
    }

    /// Now and then: offsets to Kafka, lag, and past what Kafka says holds no record.
    fn housekeeping(&mut self) {
        if self.last_housekeeping.elapsed() < HOUSEKEEPING {
            return;
        }
        self.last_housekeeping = Instant::now();
        self.consumer.mend();
        self.look_at_topic();
        for (partition, before, end) in self.assignment.take_passed() {
            self.filling.advance(partition, before, end);
            self.filling_since.get_or_insert_with(Instant::now);
        }
        self.commit_to_kafka();
        self.tell_lag();
        self.doubt_permission();
    }

    /// Whether Kafka answers, and with the topic that it was.
    fn look_at_topic(&mut self) {
        let health = &self.member.config.kafka_health;
        match self.consumer.latest_topic_id() {
            Some(Ok(topic_id)) => {
                match &self.refused {
                    Some(why) => health.down(why.clone()),
                    None => health.up(),
                }
                if topic_id != self.log.topic_id {
                    tracing::warn!(
                        "the topic was recreated: its records are not those that were read before; joining the group again"
                    );
                    self.must_leave = true;
                }
            }
            Some(Err(error)) => health.down(self.refused.clone().unwrap_or_else(|| error.to_string())),
            None => {}
        }
    }

    pub(super) fn commit_to_kafka(&mut self) {
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

    pub(super) fn keep_for_reuse(&mut self, mut batch: Batch) {
        batch.clear();
        self.link.spare = Some(batch);
    }

    /// How long there is nothing to do, unless somebody unparks the thread.
    fn pause(&self) -> Duration {
        match self.filling_since {
            Some(since) if !self.filling.is_empty() && self.link.in_flight.is_empty() => {
                self.member.config.linger.saturating_sub(since.elapsed()).min(TURN)
            }
            _ => TURN,
        }
    }
}
