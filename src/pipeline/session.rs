//! One membership in the group: the loop that reports to the protocol's state what happens, and carries out what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    group_watch::GroupLooks,
    lag::InFlight,
    member::{Link, Member, MemberError, Reply, check_writer},
    start_offsets::KAFKA_TIMEOUT,
    writer::{Job, Outcome, StoredOffsetsRead},
};
use crate::{
    batch::Batch,
    kafka::{Consumer, FetchError, GroupEvent},
    log::{DatabaseId, Log, Span},
    metrics::{BATCH_PHASE_SECONDS, REBALANCES},
    protocol::{Action, Answer, Event},
    reading::untimed::GivenTimes,
    traces::Filled,
};

/// The loop turns at least this often, so that the group is served whatever happens.
const TURN: Duration = Duration::from_millis(50);
/// How often Kafka is asked while it does not answer.
const KAFKA_PAUSE: Duration = Duration::from_secs(1);
/// Bound on leaving the group.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// One membership in the group.
pub(super) struct Session<'a> {
    pub(super) member: &'a Member,
    pub(super) link: &'a mut Link,
    pub(super) consumer: Consumer,
    pub(super) log: Arc<Log>,
    /// Which database its batches go to; others in the group are told so.
    pub(super) database: DatabaseId,
    pub(super) group_looks: GroupLooks,
    pub(super) filling: Batch,
    /// Since when there is something in it.
    pub(super) filling_since: Option<Instant>,
    /// What filling the batch took: taking records, and decoding them.
    pub(super) filling_took: (Duration, Duration),
    /// The batch that came back from the writer, until it is known what is to be done with it.
    pub(super) returned: Option<Batch>,
    /// What the last failed fetch of a partition said.
    pub(super) fetch_errors: BTreeMap<i32, FetchError>,
    /// Why Kafka does not have this member in its group, until it has it again.
    pub(super) refused: Option<String>,
    pub(super) last_housekeeping: Instant,
    /// When stored offsets were last committed again.
    pub(super) last_beat: Instant,
    /// How many partitions the metrics were told of.
    pub(super) assigned: usize,
    /// Memory for what is to be done.
    actions: Vec<Action>,
    /// How the group is left, once it is.
    pub(super) leaving: Option<Leaving>,
}

/// What is said to the group last.
#[derive(Default)]
pub(super) struct Leaving {
    pub(super) answer: Option<Answer>,
    pub(super) offsets: Vec<(i32, i64)>,
}

impl Leaving {
    /// What the protocol's state says of it.
    pub(super) fn of(action: Action) -> Option<Self> {
        match action {
            Action::Leave { answer, offsets } => Some(Self { answer, offsets }),
            _ => None,
        }
    }
}

impl<'a> Session<'a> {
    /// Joins the group once Kafka says which topic it is about; none where the process stops before.
    pub(super) fn join(
        member: &'a Member,
        link: &'a mut Link,
        database: DatabaseId,
    ) -> Result<Option<Self>, MemberError> {
        let config = &member.config;
        let mut consumer = Consumer::join(&config.kafka, &config.settings, database, member.index)?;
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
            if let Err(error) = consumer.serve_log() {
                consumer.leave(&[], LEAVE_TIMEOUT);
                return Err(error.into());
            }
            member.pulse.beat();
            consumer.watch_connection();
            thread::park_timeout(KAFKA_PAUSE);
            if member.stop.is_cancelled() {
                consumer.leave(&[], LEAVE_TIMEOUT);
                return Ok(None);
            }
        };
        config.kafka_health.up();
        link.membership += 1;
        let filling = link.empty_batch(config.limits);
        let topic_id = log.topic_id.clone();
        let mut session = Self {
            member,
            link,
            consumer,
            log: Arc::new(log),
            database,
            group_looks: GroupLooks::new(),
            filling,
            filling_since: None,
            filling_took: (Duration::ZERO, Duration::ZERO),
            returned: None,
            fetch_errors: BTreeMap::new(),
            refused: None,
            last_housekeeping: Instant::now(),
            last_beat: Instant::now(),
            assigned: 0,
            actions: Vec::new(),
            leaving: None,
        };
        session.on(Event::Joined { topic_id })?;
        Ok(Some(session))
    }

    /// Consumes until there is a reason to leave the group, and leaves it, however that comes: a client that is dropped in
    /// the middle of a rebalance would stay in the group and keep its partitions from others.
    pub(super) fn run(mut self) -> Result<(), MemberError> {
        let turned = panic::catch_unwind(AssertUnwindSafe(|| self.turn()));
        if !matches!(turned, Ok(Ok(()))) {
            let mut actions = Vec::new();
            let broken = Event::Broken { assigned: self.consumer.assigned() };
            self.link.state.on(broken, self.link.now(), &mut actions);
            for action in actions {
                // There is more to clear away where one thing fails.
                _ = self.carry_out(action);
            }
        }
        self.leave();
        match turned {
            Ok(turned) => turned,
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
            if self.member.stop.is_cancelled() {
                self.on(Event::Stop)?;
            }
            let taken = self.take_records()?;
            self.housekeeping()?;
            self.watch_group();
            self.on(Event::Turn { is_full: self.filling.is_full() })?;
            if !self.link.state.is_member() {
                return Ok(());
            }
            if taken == 0 || self.filling.is_full() {
                thread::park_timeout(self.pause());
            }
        }
    }

    /// Reports what happened, and does what is to be done about it.
    pub(super) fn on(&mut self, event: Event<GivenTimes>) -> Result<(), MemberError> {
        let mut actions = std::mem::take(&mut self.actions);
        self.link.state.on(event, self.link.now(), &mut actions);
        if actions.is_empty() {
            self.actions = actions;
            return Ok(());
        }
        for action in actions.drain(..) {
            self.carry_out(action)?;
        }
        self.actions = actions;
        self.count_assigned();
        Ok(())
    }

    fn on_group_event(&mut self, event: GroupEvent) -> Result<(), MemberError> {
        let count = |event: &'static str| metrics::counter!(REBALANCES, "event" => event).increment(1);
        match event {
            GroupEvent::Assigned(partitions) => {
                count("assigned");
                self.group_looks.note_rebalance();
                self.refused = None;
                self.on(Event::Assigned(partitions))
            }
            GroupEvent::Revoked(partitions) => {
                count("revoked");
                self.group_looks.note_rebalance();
                tracing::info!(kafka.partitions = ?partitions, "partitions revoked");
                self.on(Event::Revoked(partitions))
            }
            GroupEvent::Lost(partitions) => {
                count("lost");
                tracing::warn!(kafka.partitions = ?partitions, "partitions lost: others may have them already");
                self.on(Event::Lost(partitions))
            }
            GroupEvent::CommitTaken => {
                self.refused = None;
                Ok(())
            }
            GroupEvent::Refused(why) => {
                self.member.config.kafka_health.down(why.clone());
                self.refused = Some(why);
                Ok(())
            }
            GroupEvent::CommitRefused => self.on(Event::OffsetsNotTaken),
            GroupEvent::Astray(partition) => self.on(Event::Astray(partition)),
        }
    }

    fn on_reply(&mut self, reply: Reply) -> Result<(), MemberError> {
        match reply {
            Reply::Starts(membership, ..) if membership != self.link.membership => Ok(()),
            Reply::Starts(_, asked, starts) => self.on_start_offsets(asked, starts),
            Reply::Group(membership, _) if membership != self.link.membership => Ok(()),
            Reply::Group(_, claim) => self.on_group_claim(claim),
            Reply::Tried(tried) => self.on_tried(tried),
            Reply::Panicked(asked, message) => Err(MemberError::Question(asked, message)),
            Reply::Wrote(Outcome::Committed(batch)) => {
                self.link.batch_size.written();
                self.returned = Some(batch);
                self.on(Event::Committed)
            }
            Reply::Wrote(Outcome::TooMuch { batch, fits, stored }) => {
                self.link.batch_size.cut(batch.record_count(), fits);
                self.link.batch_size.limit(&mut self.filling);
                self.returned = Some(batch);
                self.on(Event::TooMuch(stored))
            }
            Reply::Wrote(Outcome::Fenced(batch, fences)) => {
                self.returned = Some(batch);
                self.on(Event::Fenced(fences))
            }
            Reply::Wrote(Outcome::StoredOffsetsRead(Some(StoredOffsetsRead {
                asked,
                stored,
                has_stalled,
            }))) => self.on(Event::StoredOffsetsRead { asked, stored, has_reported: has_stalled }),
            Reply::Wrote(Outcome::StoredOffsetsRead(None)) => self.on(Event::StoredOffsetsUnread),
        }
    }

    /// Hands the batch over that fills, with the offsets that it goes to.
    pub(super) fn write(&mut self, spans: Vec<Span>) {
        let next = self.link.empty_batch(self.member.config.limits);
        let mut batch = std::mem::replace(&mut self.filling, next);
        // All that was taken is in it, so what has been given up to now belongs to where it ends.
        let state = &self.link.state;
        batch.seal(spans, |partition| state.given_times(partition), |partition| state.last_record(partition));
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

    /// Hands over what is left of a batch that came back.
    pub(super) fn write_again(&mut self, without: Vec<i32>) {
        if let Some(mut batch) = self.returned.take() {
            batch.discard(&BTreeSet::from_iter(without));
            self.send_to_writer(batch, None);
        }
    }

    /// `filled` is none where the batch was handed over before.
    fn send_to_writer(&mut self, batch: Batch, filled: Option<Box<Filled>>) {
        self.link.in_flight = InFlight::of(&batch);
        self.send(Job::Write { log: Arc::clone(&self.log), batch, filled });
    }

    /// One batch and one look fit always; only a writer that is gone refuses, and that is noticed at the next turn.
    pub(super) fn send(&mut self, job: Job) {
        if self.link.jobs.try_send(job).is_err() {
            tracing::debug!("the writer took no job");
        }
    }

    pub(super) fn recycle(&mut self) {
        self.link.in_flight = InFlight::default();
        if let Some(mut batch) = self.returned.take() {
            batch.clear();
            self.link.spare = Some(batch);
        }
    }

    /// How long there is nothing to do, unless somebody unparks the thread.
    fn pause(&self) -> Duration {
        match self.link.state.waits_since() {
            Some(since) => {
                let waited = self.link.now().saturating_sub(since);
                self.member.config.linger.saturating_sub(waited).min(TURN)
            }
            None => TURN,
        }
    }
}
