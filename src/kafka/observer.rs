//! Looks at the log and at the group from outside: joins nothing, commits nothing, leaves no trace.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Formatter},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::Message as _,
    metadata::MetadataTopic,
    topic_partition_list::TopicPartitionListElem,
};
use tokio::task::spawn_blocking;

use super::{
    DescribeError,
    client::create_client,
    describe::describe_settings,
    group_members::{GroupMembers, Told, group_members},
};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    durability::TopicCopies,
    log::Committer,
    reading::Timestamp,
};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for records whose timestamps are wanted; those that have not come are asked for again.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// A question that Kafka did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// About the log.
    #[error("{0}")]
    Log(#[from] KafkaError),
    /// About the group, or the topic's settings.
    #[error("{0}")]
    Described(#[from] DescribeError),
}

impl ObserveError {
    /// Whether Kafka answers that this client may not ask.
    pub fn is_missing_right(&self) -> bool {
        use RDKafkaErrorCode as Code;
        let code = match self {
            Self::Log(error) => error.rdkafka_error_code(),
            Self::Described(error) => Some(error.code),
        };
        matches!(code, Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed))
    }
}

/// Asks about one topic and one group; clones share a client, which is made for the first question.
#[derive(Clone)]
pub struct LogObserver(Arc<Shared>);

impl Debug for LogObserver {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogObserver").field("kafka", &self.0.kafka).finish_non_exhaustive()
    }
}

struct Shared {
    kafka: KafkaConfig,
    settings: KafkaSettings,
    /// Held while a question is asked, so there is one at a time.
    client: Mutex<Option<BaseConsumer>>,
}

impl LogObserver {
    /// Of the topic and the group that are configured.
    pub fn new(kafka: &KafkaConfig, settings: &KafkaSettings) -> Self {
        Self(Arc::new(Shared { kafka: kafka.clone(), settings: settings.clone(), client: Mutex::default() }))
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.0.kafka.kafka_group
    }

    /// The offset that the next record of each of these partitions will get: one request to each broker.
    pub async fn ends(&self, partitions: i32) -> Result<BTreeMap<i32, i64>, ObserveError> {
        self.ask(move |client, shared| {
            let topic = &shared.kafka.kafka_topic;
            let mut list = TopicPartitionList::with_capacity(partitions as usize);
            for partition in 0..partitions {
                // Where a time is asked for, this one stands for the end.
                list.add_partition_offset(topic, partition, Offset::End)?;
            }
            let found = client.offsets_for_times(list, TIMEOUT)?;
            let ends = found.elements().into_iter().filter(|element| element.error().is_ok());
            Ok(ends.filter_map(|end| Some((end.partition(), end.offset().to_raw()?))).collect())
        })
        .await
    }

    /// Who is in the group.
    pub async fn members(&self) -> Result<GroupMembers, ObserveError> {
        self.ask(|client, shared| {
            let KafkaConfig { kafka_group, kafka_topic, .. } = &shared.kafka;
            let ask = || group_members(client.client(), kafka_group, kafka_topic);
            let mut told = ask()?;
            if told == Told::NotListed {
                // A coordinator that has just gone lists nothing either. Where one answers, the next list has the group.
                let mut offset = TopicPartitionList::with_capacity(1);
                offset.add_partition(kafka_topic, 0);
                client.committed_offsets(offset, TIMEOUT)?;
                told = ask()?;
            }
            Ok(match told {
                Told::Members(members) => GroupMembers::Known(members),
                Told::NotListed => GroupMembers::Known(Vec::new()),
                Told::OtherProtocol => GroupMembers::NotTold,
            })
        })
        .await
    }

    /// What a worker has committed last beside each partition's offset, where it was one.
    pub async fn committers(&self) -> Result<BTreeMap<i32, Committer>, ObserveError> {
        self.ask(|client, shared| {
            let topic = &shared.kafka.kafka_topic;
            // Not an admin request: without a connection librdkafka would retry it without a pause.
            let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
            let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
            if partitions == 0 {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition).into());
            }
            let mut list = TopicPartitionList::with_capacity(partitions);
            for partition in 0..partitions as i32 {
                list.add_partition(topic, partition);
            }
            let offsets = client.committed_offsets(list, TIMEOUT)?;
            let committer = |of: &TopicPartitionListElem<'_>| {
                Some((of.partition(), Committer::of_metadata(of.metadata())?))
            };
            Ok(offsets.elements().iter().filter_map(committer).collect())
        })
        .await
    }

    /// How Kafka keeps the topic. Its settings are not known where this client may not ask for them.
    pub async fn copies(&self) -> Result<TopicCopies, ObserveError> {
        const ASKED: [&str; 2] = ["min.insync.replicas", "unclean.leader.election.enable"];
        self.ask(|client, shared| {
            let topic = &shared.kafka.kafka_topic;
            let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
            let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            let replication = partitions.map(|partition| partition.replicas().len()).min();
            let replication =
                replication.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition))?;
            let [min_insync, unclean] = match describe_settings(client.client(), topic, ASKED, TIMEOUT) {
                Ok(settings) => settings,
                Err(DescribeError { code: RDKafkaErrorCode::TopicAuthorizationFailed, .. }) => [None, None],
                Err(error) => return Err(error.into()),
            };
            Ok(TopicCopies {
                brokers: metadata.brokers().len(),
                replication,
                min_insync_replicas: min_insync.and_then(|value| value.parse().ok()),
                unclean_leader_election: unclean.and_then(|value| value.parse().ok()),
            })
        })
        .await
    }

    /// The timestamps of the records at these places of partitions, or of the next ones after them, as far as they
    /// come within half a second.
    pub async fn timestamps(
        &self,
        places: Vec<(i32, i64)>,
    ) -> Result<Vec<(i32, i64, Timestamp)>, ObserveError> {
        self.ask(move |client, shared| {
            let mut list = TopicPartitionList::with_capacity(places.len());
            for &(partition, offset) in &places {
                list.add_partition_offset(&shared.kafka.kafka_topic, partition, Offset::Offset(offset))?;
            }
            client.assign(&list)?;
            let found = read(client, &places);
            client.unassign()?;
            Ok(found)
        })
        .await
    }

    /// Gives the client back; the next question makes another one.
    pub async fn rest(&self) {
        let shared = Arc::clone(&self.0);
        // Closing it takes its time.
        let closing = spawn_blocking(move || drop(shared.client.lock().take()));
        closing.await.unwrap_or_else(|panic| tracing::debug!("a Kafka client did not close: {panic}"));
    }

    /// A client that got no answer may have lost every broker, and is not used again.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer, &Shared) -> Result<T, ObserveError> + Send + 'static,
    ) -> Result<T, ObserveError> {
        let shared = Arc::clone(&self.0);
        let asking = spawn_blocking(move || {
            let mut kept = shared.client.lock();
            let client = match kept.take() {
                Some(client) => client,
                None => shared.open()?,
            };
            let answer = question(&client, &shared);
            if answer.is_ok() {
                *kept = Some(client);
            }
            answer
        });
        asking.await.expect("a question does not panic")
    }
}

impl Shared {
    fn open(&self) -> Result<BaseConsumer, KafkaError> {
        let ours = [
            // Named for its rights alone: it is not joined, and nothing is committed.
            ("group.id", self.kafka.kafka_group.as_str()),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            // The end is that for readers: what an open transaction has written is not behind.
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "false"),
            // One record of each partition is wanted, and the broker sends at least that.
            ("fetch.message.max.bytes", "1"),
            ("queued.min.messages", "1"),
        ];
        create_client(&self.kafka, &self.settings, &ours, DefaultConsumerContext)
    }
}

/// The first record of each of these partitions that comes.
fn read(client: &BaseConsumer, places: &[(i32, i64)]) -> Vec<(i32, i64, Timestamp)> {
    let deadline = Instant::now() + READ_TIMEOUT;
    let mut found: BTreeMap<i32, (i64, Timestamp)> = BTreeMap::new();
    while found.len() < places.len() && Instant::now() < deadline {
        let Some(Ok(record)) = client.poll(POLL_TIMEOUT) else { continue };
        if let Some(millis) = record.timestamp().to_millis() {
            found
                .entry(record.partition())
                .or_insert_with(|| (record.offset(), Timestamp::from_millis(millis)));
        }
    }
    let of = |&(partition, offset): &(i32, i64)| Some((partition, offset, found.get(&partition)?.1));
    places.iter().filter_map(of).collect()
}
