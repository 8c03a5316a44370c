//! The topic: made where it is missing, never altered, and known by its id rather than by its name.

mod settings;

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::{Client, ClientContext, DefaultClientContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use self::settings::check_sensors_settings;
pub use self::settings::check_settings;
use super::{
    client::create_client,
    describe::{self, DescribeError, TopicDescription},
};
use crate::{
    config::{KafkaConfig, KafkaSettings, TopicConfig},
    log::TopicIdentity,
};

/// How long is waited for Kafka to come up.
const STARTUP_PATIENCE: Duration = Duration::from_secs(30);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// A topic that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Which one it is.
    pub identity: TopicIdentity,
    /// How many partitions it has.
    pub partitions: usize,
    /// Whether `ensure_topic` made it just now.
    pub is_new: bool,
}

impl Topic {
    fn with_one_partition(self, name: &str) -> Result<Self, TopicError> {
        match self.partitions {
            1 => Ok(self),
            partitions => Err(TopicError::NotOnePartition { topic: name.to_owned(), partitions }),
        }
    }
}

/// Why a topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The settings are none that librdkafka takes.
    #[error("the Kafka client cannot be made from these settings")]
    Client(#[source] KafkaError),
    /// No broker answered in time.
    #[error(
        "Kafka at {brokers} did not answer within {} s{}",
        waited.as_secs(),
        latest_failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default()
    )]
    Unreachable {
        /// Where it was looked for.
        brokers: String,
        /// For how long.
        waited: Duration,
        /// What the client met meanwhile.
        latest_failure: Option<String>,
    },
    /// There is no such topic.
    #[error("topic {0} does not exist: run `sensorpipe migrate`")]
    Missing(String),
    /// Keyed by sensor, compaction deletes readings that nobody has read yet.
    #[error("topic {0} is compacted, which deletes unread readings: set its cleanup.policy to delete")]
    Compacted(String),
    /// Retention would delete sensors.
    #[error("topic {0} is not compacted, which deletes sensors: set its cleanup.policy to compact")]
    NotCompacted(String),
    /// The order of its records decides whose an id is.
    #[error("topic {topic} has {partitions} partitions: the topic of the sensors needs one")]
    NotOnePartition {
        /// The topic's name.
        topic: String,
        /// How many it has.
        partitions: usize,
    },
    /// The cluster refused to make the topic.
    #[error("Kafka refused to create topic {topic}: {code}")]
    CreationRefused {
        /// The topic's name.
        topic: String,
        /// Kafka's reason.
        code: RDKafkaErrorCode,
    },
    /// The cluster did not say what was asked.
    #[error("asking Kafka about topic {topic} failed")]
    Describe {
        /// The topic's name.
        topic: String,
        /// What it said instead.
        #[source]
        source: DescribeError,
    },
    /// The ends of the partitions' logs are not known.
    #[error("the ends of the log cannot be read")]
    LogEnds(#[source] KafkaError),
    /// What the group has committed is not known.
    #[error("the group's offsets in Kafka cannot be read")]
    Committed(#[source] KafkaError),
    /// A broker so old that it has no cluster id, or none that answers.
    #[error("Kafka did not report its cluster id")]
    NoClusterId,
}

impl TopicError {
    /// Whether the same question may be answered later without anybody's help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Describe { source, .. } => is_passing(source.code),
            error => error.is_retriable(),
        }
    }

    /// Whether the same question may be answered later, if only once somebody has changed something at the brokers.
    ///
    /// A worker waits for that, and says what for: rights that are taken away are given back.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoClusterId => true,
            Self::Describe { source, .. } => !matches!(
                source.code,
                RDKafkaErrorCode::InvalidTopic
                    | RDKafkaErrorCode::InvalidArgument
                    | RDKafkaErrorCode::UnsupportedVersion
            ),
            Self::Client(_)
            | Self::Missing(_)
            | Self::Compacted(_)
            | Self::NotCompacted(_)
            | Self::NotOnePartition { .. }
            | Self::CreationRefused { .. }
            | Self::LogEnds(_)
            | Self::Committed(_) => false,
        }
    }
}

/// Asks which topic this is. Blocks, for `timeout` at most per question; for any thread with a client.
pub fn identify<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicIdentity, TopicError> {
    look_up(client, topic, timeout).map(|found| found.identity)
}

/// Asks how many partitions the topic has. Blocks, for `timeout` at most.
pub fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<usize, TopicError> {
    describe(client, topic, timeout).map(|description| description.partitions)
}

/// Finds the topic, or makes it as `config` says; waits up to 30 s for Kafka to come up.
///
/// An existing topic is never altered. Somebody else's making it at the same time is no error.
pub async fn ensure_topic(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    config: &TopicConfig,
) -> Result<Topic, TopicError> {
    ensure(&AdminSession::open(kafka, settings)?, config, Holds::Readings).await
}

/// The same for the topic of the sensors.
pub async fn ensure_sensors_topic(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    config: &TopicConfig,
) -> Result<Topic, TopicError> {
    let kafka = kafka.of_sensors();
    let config = TopicConfig { kafka_partitions: 1, ..config.clone() };
    let topic = ensure(&AdminSession::open(&kafka, settings)?, &config, Holds::Sensors).await?;
    topic.with_one_partition(&kafka.kafka_topic)
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Each record counts until it is old.
    Readings,
    /// The last record of each key counts for ever.
    Sensors,
}

async fn ensure(admin: &AdminSession, config: &TopicConfig, holds: Holds) -> Result<Topic, TopicError> {
    let mut is_new = false;
    loop {
        match admin.look_up().await {
            Ok(topic) => match admin.check_settings(holds).await {
                Ok(()) => return Ok(Topic { is_new, ..topic }),
                // Another broker answers than before, and has not heard of the topic yet.
                Err(TopicError::Missing(_)) => admin.wait("the new topic's metadata").await?,
                Err(error) if error.is_passing() => admin.wait("Kafka").await?,
                Err(error) => return Err(error),
            },
            // Made a moment ago, the broker that answers may not know it yet.
            Err(TopicError::Missing(_)) if is_new => admin.wait("the new topic's metadata").await?,
            Err(TopicError::Missing(_)) => match admin.create(config, holds).await? {
                Ok(()) => is_new = true,
                Err(RDKafkaErrorCode::TopicAlreadyExists) => {
                    admin.wait("the topic that another process is creating").await?;
                }
                // Brokers that are still starting do not count as places for copies.
                Err(RDKafkaErrorCode::InvalidReplicationFactor) if admin.has_time() => {
                    admin.wait("enough brokers for KAFKA_REPLICATION").await?;
                }
                Err(code) if is_passing(code) => admin.wait("Kafka").await?,
                Err(code) => {
                    return Err(TopicError::CreationRefused { topic: admin.topic.clone(), code });
                }
            },
            Err(error) if error.is_passing() => admin.wait("Kafka").await?,
            Err(error) => return Err(error),
        }
    }
}

/// Finds the topic through a client of its own; waits up to 30 s for Kafka to come up, not for the topic.
pub async fn find_topic(kafka: &KafkaConfig, settings: &KafkaSettings) -> Result<Topic, TopicError> {
    AdminSession::open(kafka, settings)?.find().await
}

/// The same for the topic of the sensors, which has to be one that keeps them.
pub(super) async fn find_sensors_topic(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
) -> Result<Topic, TopicError> {
    let admin = AdminSession::open(kafka, settings)?;
    let topic = admin.find().await?;
    admin.check_settings(Holds::Sensors).await?;
    topic.with_one_partition(&kafka.kafka_topic)
}

/// A short-lived client and the time that it has.
pub(super) struct AdminSession {
    client: Arc<AdminClient<DefaultClientContext>>,
    brokers: String,
    topic: String,
    deadline: Instant,
}

impl AdminSession {
    pub(super) fn open(kafka: &KafkaConfig, settings: &KafkaSettings) -> Result<Self, TopicError> {
        let client = create_client(kafka, settings, &[], DefaultClientContext).map_err(TopicError::Client)?;
        Ok(Self {
            client: Arc::new(client),
            brokers: kafka.kafka_brokers.clone(),
            topic: kafka.kafka_topic.clone(),
            deadline: Instant::now() + STARTUP_PATIENCE,
        })
    }

    /// Finds the topic; waits for Kafka to come up.
    pub(super) async fn find(&self) -> Result<Topic, TopicError> {
        loop {
            match self.look_up().await {
                Err(error) if error.is_passing() => self.wait("Kafka").await?,
                found => return found,
            }
        }
    }

    async fn look_up(&self) -> Result<Topic, TopicError> {
        self.ask(|client, topic| look_up(client, topic, REQUEST_TIMEOUT)).await
    }

    async fn check_settings(&self, holds: Holds) -> Result<(), TopicError> {
        self.ask(move |client, topic| match holds {
            Holds::Readings => check_settings(client, topic, REQUEST_TIMEOUT),
            Holds::Sensors => check_sensors_settings(client, topic, REQUEST_TIMEOUT),
        })
        .await
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Client<DefaultClientContext>, &str) -> Result<T, TopicError> + Send + 'static,
    ) -> Result<T, TopicError> {
        let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
        spawn_blocking(move || question(client.inner(), &topic)).await.expect("a question does not panic")
    }

    /// The inner result is Kafka's answer.
    async fn create(
        &self,
        config: &TopicConfig,
        holds: Holds,
    ) -> Result<Result<(), RDKafkaErrorCode>, TopicError> {
        let replication = config.kafka_replication;
        // A majority: with fewer an acknowledged reading may be lost, with more a single broker that is away stops writes.
        let min_insync = (replication / 2 + 1).to_string();
        let retention_ms = config.kafka_retention.as_millis().to_string();
        let topic = NewTopic::new(&self.topic, config.kafka_partitions, TopicReplication::Fixed(replication))
            .set("min.insync.replicas", &min_insync);
        let topic = match holds {
            Holds::Readings => topic.set("cleanup.policy", "delete").set("retention.ms", &retention_ms),
            Holds::Sensors => topic.set("cleanup.policy", "compact"),
        };
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        let answers = match self.client.create_topics([&topic], &options).await {
            Ok(answers) => answers,
            Err(error) => match error.rdkafka_error_code() {
                Some(code) => return Ok(Err(code)),
                None => return Err(TopicError::Client(error)),
            },
        };
        Ok(answers.into_iter().try_for_each(|answer| answer.map(drop).map_err(|(_, code)| code)))
    }

    fn has_time(&self) -> bool {
        Instant::now() + RETRY_INTERVAL < self.deadline
    }

    async fn wait(&self, what: &'static str) -> Result<(), TopicError> {
        let latest_failure = describe::latest_failure(self.client.inner());
        if !self.has_time() {
            return Err(TopicError::Unreachable {
                brokers: self.brokers.clone(),
                waited: STARTUP_PATIENCE,
                latest_failure,
            });
        }
        tracing::info!(brokers = self.brokers, cause = latest_failure, "waiting for {what}");
        sleep(RETRY_INTERVAL).await;
        Ok(())
    }
}

/// Blocks, for `timeout` at most per question.
pub(super) fn look_up<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Topic, TopicError> {
    let TopicDescription { topic_id, partitions } = describe(client, topic, timeout)?;
    let cluster_id = describe::cluster_id(client, timeout).ok_or(TopicError::NoClusterId)?;
    Ok(Topic { identity: TopicIdentity { cluster_id, topic_id }, partitions, is_new: false })
}

fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicDescription, TopicError> {
    describe::describe_topic(client, topic, timeout).map_err(|source| failed_describe(topic, source))
}

fn failed_describe(topic: &str, source: DescribeError) -> TopicError {
    let topic = topic.to_owned();
    match source.code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            TopicError::Missing(topic)
        }
        _ => TopicError::Describe { topic, source },
    }
}

/// Whether a code is what brokers give that are starting, moving or out of reach.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::NotLeaderForPartition
    )
}
