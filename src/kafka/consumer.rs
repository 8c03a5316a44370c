//! One member of the consumer group.
//!
//! It reports what happens in the group and does what its owner says; it decides nothing. A rebalance is only
//! noted when librdkafka reports it and takes effect when the owner answers with [`Consumer::assign`] or
//! [`Consumer::unassign`], from its own loop and in its own time.

mod settings;

use std::{
    collections::BTreeMap,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaError,
    topic_partition_list::TopicPartitionListElem,
};

pub(super) use self::settings::SETTINGS;
use self::settings::create_member;
use super::{
    bootstrap::Bootstrap,
    connection::{NotConnected, is_connected},
    describe::{DescribeError, TopicQuestion},
    ends::Ends,
    group::{GroupEvent, Notes, group_refusal},
    leaving::Leaving,
    partition_queue::{Fetched, PartitionQueue, high_watermark},
    topic::{TopicError, check_settings, identify, partition_count},
};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    log::{Committer, DatabaseId, RecordIdentity, TopicIdentity, Watermarks},
    reading::Timestamp,
};

/// The consumer cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// A setting is wrong.
    #[error("the Kafka consumer cannot be set up")]
    SetUp(#[source] KafkaError),
    /// librdkafka refuses a change of the assignment.
    #[error("the assignment cannot be changed")]
    Assign(#[source] KafkaError),
    /// Kafka does not answer.
    #[error("the ends of the log cannot be read")]
    Watermarks(#[source] KafkaError),
    /// An error after which the client is of no use, such as being fenced by a twin with the same instance id.
    #[error("the Kafka consumer failed for good")]
    Fatal(#[source] KafkaError),
}

/// A member of the group; used by the thread that made it.
pub struct Consumer {
    // Declared before the client, so that they are dropped before it.
    queues: BTreeMap<i32, PartitionQueue>,
    topic_question: Option<TopicQuestion>,
    ends: Ends,
    client: BaseConsumer<Notes>,
    topic: String,
    owner: Thread,
    /// Counts the turns, so that each partition has its own.
    turn: usize,
    bootstrap: Bootstrap,
    /// Whether there was a connection to a broker when that was looked at last.
    is_connected: bool,
    /// Whether the last question about the topic was answered.
    is_answered: bool,
    topic_asked: Instant,
    /// Polls that serve nothing for us before it counts as nothing there: each line of librdkafka's log is one.
    silent_polls: usize,
    leaving: Leaving,
    /// Committed beside each offset: where it is stored.
    database: DatabaseId,
}

/// What one partition's turn has brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnTaken {
    /// Records, ends and failures.
    pub count: usize,
    /// What taking them took.
    pub fetching: Duration,
    /// The last record that was handed on.
    pub last_record: Option<RecordIdentity>,
}

/// How often the cluster is asked whether the topic is still the same.
const TOPIC_INTERVAL: Duration = Duration::from_secs(5);

impl Consumer {
    /// Joins the group. The current thread becomes the owner: it is unparked when there is something to do.
    ///
    /// `database` is where its readings go, which others can tell by what it commits. `index` tells the consumers of a
    /// process apart where `group.instance.id` makes members static.
    pub fn join(
        kafka: &KafkaConfig,
        settings: &KafkaSettings,
        database: DatabaseId,
        index: usize,
    ) -> Result<Self, ConsumerError> {
        let (mut client, leaving) = create_member(kafka, settings, index).map_err(ConsumerError::SetUp)?;
        let owner = thread::current();
        let waking = owner.clone();
        client.set_nonempty_callback(move || waking.unpark());
        client.subscribe(&[&kafka.kafka_topic]).map_err(ConsumerError::SetUp)?;
        Ok(Self {
            queues: BTreeMap::new(),
            topic_question: None,
            ends: Ends::default(),
            client,
            topic: kafka.kafka_topic.clone(),
            owner,
            turn: 0,
            bootstrap: Bootstrap::new(&kafka.kafka_brokers),
            is_connected: false,
            is_answered: true,
            topic_asked: Instant::now(),
            silent_polls: if settings.0.contains_key("debug") { 1_000 } else { 1 },
            leaving,
            database,
        })
    }

    /// Serves the group and says what happened, if anything; never waits. To be called at least every few seconds.
    pub fn poll_group(&mut self) -> Result<Option<GroupEvent>, ConsumerError> {
        let mut silent_polls = 0;
        // One call serves one event, so go on until there is none; the bound is for good measure.
        for _ in 0..1_000 {
            if let Some(event) = self.client.context().take() {
                return Ok(Some(event));
            }
            match self.client.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    return Ok(Some(GroupEvent::Astray(rdkafka::Message::partition(&message))));
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(ConsumerError::Fatal(error));
                }
                Some(Err(error)) => {
                    Notes::complain(&error);
                    if let Some(refusal) = group_refusal(&error) {
                        return Ok(Some(GroupEvent::Refused(refusal)));
                    }
                }
                None => {
                    silent_polls += 1;
                    if silent_polls >= self.silent_polls {
                        return Ok(self.client.context().take());
                    }
                }
            }
        }
        Ok(None)
    }

    /// Passes on what librdkafka has to say, such as why no broker will have us, while nobody polls the group yet.
    pub fn serve_log(&self) -> Result<(), ConsumerError> {
        const LINES_AT_MOST: usize = 100;
        for _ in 0..LINES_AT_MOST {
            match self.client.poll(Duration::ZERO) {
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(ConsumerError::Fatal(error));
                }
                Some(Err(error)) => Notes::complain(&error),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Takes what is in the next partition's queue, in turn, and hands it on in its order. Never waits.
    ///
    /// After a failed fetch nothing more of the partition is handed on until it is assigned again. As many turns in a row
    /// without anything as there are partitions mean that all are empty.
    pub fn drain_next(&mut self, most: usize, mut each: impl FnMut(i32, Fetched<'_>)) -> TurnTaken {
        self.turn = self.turn.wrapping_add(1);
        let Some((&partition, queue)) = self.queues.iter().nth(self.turn % self.queues.len().max(1)) else {
            return TurnTaken::default();
        };
        let started = Instant::now();
        let drained = queue.drain(most);
        let fetching = started.elapsed();
        let (mut end, mut has_failed, mut last_record) = (None, false, None);
        for (index, item) in drained.items().enumerate() {
            match &item {
                Fetched::Record(_) => (end, last_record) = (None, Some(index)),
                Fetched::End(offset) => end = Some(*offset),
                Fetched::Failed(_) => has_failed = true,
            }
            each(partition, item);
            if has_failed {
                break;
            }
        }
        match end {
            _ if has_failed => self.hold(&[partition]),
            Some(end) => self.ends.reach(partition, end),
            None if drained.len() > 0 => self.ends.leave(partition),
            None => {}
        }
        TurnTaken {
            count: drained.len(),
            fetching,
            last_record: last_record.map(|index| drained.identity(index)),
        }
    }

    /// Partitions that librdkafka has for ours, whether or not they are read.
    pub fn assigned(&self) -> Vec<i32> {
        let assigned = self.client.assignment().unwrap_or_default();
        assigned.elements().iter().map(TopicPartitionListElem::partition).collect()
    }

    /// Partitions that [`Self::drain_next`] goes through.
    pub fn partition_count(&self) -> usize {
        self.queues.len()
    }

    /// Starts reading these partitions at these offsets; an answer to [`GroupEvent::Assigned`], or a move of
    /// partitions that are unassigned for the moment.
    pub fn assign(&mut self, starts: &[(i32, i64)]) -> Result<(), ConsumerError> {
        // librdkafka refuses the whole list for one partition that it has already, and the group may assign it twice.
        let assigned = self.client.assignment().map_err(ConsumerError::Assign)?;
        let has = |partition: &i32| assigned.find_partition(&self.topic, *partition).is_some();
        let again: Vec<i32> = starts.iter().map(|&(partition, _)| partition).filter(has).collect();
        if !again.is_empty() {
            self.unassign(&again)?;
        }
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for &(partition, offset) in starts {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
                .map_err(ConsumerError::Assign)?;
            let queue =
                PartitionQueue::split(self.client.client(), &self.topic, partition, self.owner.clone())
                    .ok_or(ConsumerError::Assign(KafkaError::Subscription(format!(
                        "no queue for partition {partition}"
                    ))))?;
            self.queues.insert(partition, queue);
        }
        self.ends.ask_soon();
        self.client.incremental_assign(&list).map_err(ConsumerError::Assign)
    }

    /// Stops taking records of these partitions; what is prefetched stays where it is.
    pub fn hold(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.queues.remove(partition);
            self.ends.leave(*partition);
        }
    }

    /// Gives these partitions up; an answer to [`GroupEvent::Revoked`] or [`GroupEvent::Lost`].
    ///
    /// Records of theirs that are still queued are dropped by librdkafka, also where a partition comes back at once.
    pub fn unassign(&mut self, partitions: &[i32]) -> Result<(), ConsumerError> {
        self.hold(partitions);
        let assigned = self.client.assignment().map_err(ConsumerError::Assign)?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            // librdkafka refuses the whole list for one partition that it does not have.
            if assigned.find_partition(&self.topic, partition).is_some() {
                list.add_partition(&self.topic, partition);
            }
        }
        self.client.incremental_unassign(&list).map_err(ConsumerError::Assign)
    }

    /// Looks after the client's way to the brokers; to be called about once a second.
    pub fn watch_connection(&mut self) {
        let is_connected = self.is_connected || self.look_for_connection();
        self.bootstrap.note(self.client.client(), is_connected && self.is_answered);
    }

    /// Whether there is a broker to ask.
    fn look_for_connection(&mut self) -> bool {
        self.is_connected = is_connected(self.client.client(), &self.topic);
        self.is_connected
    }

    /// Asks the brokers now and then where the logs of these partitions end; never waits. Says how they answered.
    pub fn ask_ends(&mut self, partitions: &[i32]) -> Option<Result<(), DescribeError>> {
        if self.ends.is_due(partitions) && !self.look_for_connection() {
            return None;
        }
        self.ends.turn(self.client.client(), &self.topic, partitions)
    }

    /// The log's end for readers as of the last fetch or answer; none before the first one.
    pub fn known_end(&self, partition: i32) -> Option<i64> {
        self.ends.end(partition, high_watermark(self.client.client(), &self.topic, partition))
    }

    /// Asks the broker for a partition's first and next offset.
    pub fn watermarks(&self, partition: i32, timeout: Duration) -> Result<Watermarks, ConsumerError> {
        let (low, high) = self
            .client
            .fetch_watermarks(&self.topic, partition, timeout)
            .map_err(ConsumerError::Watermarks)?;
        Ok(Watermarks { low, high })
    }

    /// Which topic this is, and that it is one whose records stay until retention takes them.
    pub fn identify(&self, timeout: Duration) -> Result<TopicIdentity, TopicError> {
        check_settings(self.client.client(), &self.topic, timeout)?;
        identify(self.client.client(), &self.topic, timeout)
    }

    /// The topic's id, or that there was no answer, whenever there is one; asks every few seconds and waits for no answer.
    ///
    /// A topic that was deleted and recreated goes by the same name, and its records look like the old one's.
    pub fn latest_topic_id(&mut self) -> Option<Result<String, DescribeError>> {
        let Some(question) = self.topic_question.take() else {
            if self.topic_asked.elapsed() < TOPIC_INTERVAL {
                return None;
            }
            if !self.look_for_connection() {
                return self.bootstrap.is_silent().then(|| Err(NotConnected.into()));
            }
            self.topic_asked = Instant::now();
            self.topic_question = TopicQuestion::ask(self.client.client(), &self.topic, TOPIC_INTERVAL).ok();
            return None;
        };
        let Some(answer) = question.poll() else {
            self.topic_question = Some(question);
            return None;
        };
        self.is_answered = answer.as_ref().err().is_none_or(DescribeError::is_answer);
        Some(answer.map(|topic| topic.topic_id))
    }

    /// How many partitions the topic has.
    pub fn topic_partition_count(&self, timeout: Duration) -> Result<usize, TopicError> {
        partition_count(self.client.client(), &self.topic, timeout)
    }

    /// Tells Kafka how far the database is, for those who watch the group's lag there. Advisory: not waited for.
    pub fn commit(&self, offsets: &[(i32, i64)]) {
        if let Err(error) = self.client.commit(&self.list(offsets), CommitMode::Async) {
            tracing::debug!(error = %error, "offsets not committed to Kafka");
        }
    }

    fn list(&self, offsets: &[(i32, i64)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        let beat = Timestamp::now().micros();
        let metadata = Committer { database: self.database, beat }.metadata();
        for &(partition, offset) in offsets {
            let mut element = list.add_partition(&self.topic, partition);
            element.set_metadata(&metadata);
            if let Err(error) = element.set_offset(Offset::Offset(offset)) {
                tracing::debug!(error = %error, kafka.partition = partition, "offset not committed to Kafka");
            }
        }
        list
    }

    /// Commits these offsets, leaves the group and closes the client; waits for that so long and then lets it end by
    /// itself.
    pub fn leave(self, offsets: &[(i32, i64)], timeout: Duration) {
        let offsets = self.list(offsets);
        let Self { queues, topic_question, ends, client, leaving, .. } = self;
        drop((queues, topic_question, ends));
        leaving.leave(client, offsets, timeout);
    }
}

#[cfg(test)]
mod tests;
