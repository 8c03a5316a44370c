//! The compacted topic of the sensors: read from its beginning and followed, and written to.

mod reader;

use std::{sync::Arc, thread, time::Duration};

use parking_lot::{Mutex, MutexGuard, RwLock};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::{InvalidSettings, create_client},
    dead_letter_producer::Quiet,
    log_error::LogError,
    log_range::Range,
    log_reader::read_ranges,
    publish_error::PublishError,
    topic::{TopicError, find_topic},
};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    registry::{Registry, SensorRecord, Taken},
};

/// Of the topic, which has one: its order decides whose an id is.
pub(super) const PARTITION: i32 = 0;
/// Longest time from sending a record to its acknowledgement.
const MESSAGE_TIMEOUT_MS: &str = "5000";
/// How much longer than that is waited for the client, and how long for what is to be read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a broker may take to say where the topic ends.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// The topic; clones share its client and what has been read.
#[derive(Clone)]
pub struct SensorTopic(Arc<Open>);

struct Open {
    kafka: KafkaConfig,
    settings: KafkaSettings,
    producer: RwLock<Arc<FutureProducer<Quiet>>>,
    read: Arc<Read>,
}

/// What has been read, by the thread that does nothing else.
struct Read {
    registry: Mutex<Registry>,
    /// Up to where.
    next_offset: watch::Sender<i64>,
    /// Why nothing can be read, where that does not pass by itself.
    unreadable: Mutex<Option<String>>,
    stop: CancellationToken,
}

/// Ids are not known to be ours.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Somebody else has one of them.
    #[error("ids up to {} are taken", .0.up_to)]
    Taken(Taken),
    /// The records are not known to be in the topic.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// They are, and could not be read in time.
    #[error(transparent)]
    Unread(#[from] UnreadError),
}

/// The topic was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum UnreadError {
    /// Kafka does not answer, or not in time.
    #[error("topic {topic} could not be read to its end in time")]
    TooSlow {
        /// The topic of the sensors.
        topic: String,
    },
    /// Somebody has to change something.
    #[error("topic {topic} cannot be read: {reason}")]
    Unreadable {
        /// The topic of the sensors.
        topic: String,
        /// What Kafka says.
        reason: String,
    },
}

impl SensorTopic {
    /// Begins to read; neither Kafka nor the topic need be there yet.
    pub fn open(kafka: &KafkaConfig, settings: &KafkaSettings) -> Result<Self, InvalidSettings> {
        let kafka = kafka.of_sensors();
        let producer = create_producer(&kafka, settings).map_err(InvalidSettings)?;
        let read = Arc::new(Read {
            registry: Mutex::default(),
            next_offset: watch::Sender::new(0),
            unreadable: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let (of_thread, of_kafka, of_settings) = (Arc::clone(&read), kafka.clone(), settings.clone());
        thread::Builder::new()
            .name("sensors-topic".to_owned())
            .spawn(move || reader::run(&of_kafka, &of_settings, &of_thread))
            .map_err(|error| InvalidSettings(KafkaError::ClientCreation(error.to_string())))?;
        let producer = RwLock::new(Arc::new(producer));
        Ok(Self(Arc::new(Open { kafka, settings: settings.clone(), producer, read })))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.kafka.kafka_topic
    }

    /// Its id; asks Kafka.
    pub async fn id(&self) -> Result<String, TopicError> {
        Ok(find_topic(&self.0.kafka, &self.0.settings).await?.identity.topic_id)
    }

    /// What has been read so far.
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.read.registry.lock()
    }

    /// Waits until all has been read that is there now.
    pub async fn read_to_end(&self) -> Result<(), UnreadError> {
        let (producer, topic) = (self.producer(), self.name().to_owned());
        let ask = spawn_blocking(move || producer.client().fetch_watermarks(&topic, PARTITION, ASK_TIMEOUT));
        match ask.await {
            Ok(Ok((_, end))) => self.read_up_to(end).await,
            Ok(Err(error)) => Err(self.unread(error.rdkafka_error_code())),
            Err(_panic) => Err(self.unread(None)),
        }
    }

    /// Waits until all below an offset has been read.
    pub async fn read_up_to(&self, offset: i64) -> Result<(), UnreadError> {
        let mut read = self.0.read.next_offset.subscribe();
        let reached = read.wait_for(|next| *next >= offset);
        match timeout(ANSWER_TIMEOUT, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.unread(None)),
        }
    }

    fn unread(&self, code: Option<RDKafkaErrorCode>) -> UnreadError {
        let topic = self.name().to_owned();
        let reason = match code {
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => Some("it does not exist: run `sensorpipe migrate`".to_owned()),
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => Some(code.to_string()),
            _ => self.0.read.unreadable.lock().clone(),
        };
        reason.map_or(UnreadError::TooSlow { topic: topic.clone() }, |reason| UnreadError::Unreadable {
            topic,
            reason,
        })
    }

    /// Takes the ids of sensors that are about to be made: once this has succeeded, nobody else has them, whatever
    /// becomes of the database.
    ///
    /// Of those that were published, none is left to be taken for a sensor where it fails because an id is taken.
    pub async fn claim(&self, records: Vec<SensorRecord>) -> Result<(), ClaimError> {
        let ids: Vec<i32> = records.iter().map(|record| record.sensor_id).collect();
        self.registry().claim(&ids).map_err(ClaimError::Taken)?;
        let published = async {
            let offsets = self.publish(&records).await?;
            self.read_up_to(offsets.iter().max().map_or(0, |last| last + 1)).await?;
            Ok::<_, ClaimError>(offsets)
        };
        let published = published.await;
        let mut mend = Vec::new();
        let mut is_taken = false;
        {
            let mut registry = self.registry();
            let offsets = published.as_ref().ok();
            for (place, &id) in ids.iter().enumerate() {
                let owner = registry.end_claim(id, offsets.map(|offsets| offsets[place]));
                is_taken |= owner.is_some();
                // Compaction keeps the last record of an id: that has to be its owner's.
                mend.push(owner.unwrap_or(SensorRecord { sensor_id: id, sensor: None }));
            }
        }
        published?;
        if is_taken {
            self.publish(&mend).await?;
            return Err(ClaimError::Taken(self.registry().taken(&ids)));
        }
        Ok(())
    }

    /// Publishes records in their order; their offsets, once all in-sync replicas have them.
    pub async fn publish(&self, records: &[SensorRecord]) -> Result<Vec<i64>, PublishError> {
        let published = self.try_publishing(records).await;
        let is_beyond_help = self.producer().client().fatal_error().is_some();
        if is_beyond_help || published == Err(PublishError::TimedOut) {
            match create_producer(&self.0.kafka, &self.0.settings) {
                Ok(client) => *self.0.producer.write() = Arc::new(client),
                Err(error) => tracing::warn!(error = %error, "no Kafka client can be made for sensors"),
            }
        }
        published
    }

    async fn try_publishing(&self, records: &[SensorRecord]) -> Result<Vec<i64>, PublishError> {
        let (producer, deadline) = (self.producer(), Instant::now() + ANSWER_TIMEOUT);
        let mut sending = Vec::with_capacity(records.len());
        for record in records {
            let (key, value) = (record.sensor_id.to_string(), record.encode());
            let to_send = FutureRecord::to(self.name()).partition(PARTITION).key(&key).payload(&value);
            sending.push(producer.send_result(to_send).map_err(|(error, _)| PublishError::from(error))?);
        }
        let mut offsets = Vec::with_capacity(sending.len());
        for delivery in sending {
            match timeout_at(deadline, delivery).await {
                Ok(Ok(Ok(delivered))) => offsets.push(delivered.offset),
                Ok(Ok(Err((error, _)))) => return Err(error.into()),
                Ok(Err(_)) | Err(_) => return Err(PublishError::TimedOut),
            }
        }
        Ok(offsets)
    }

    /// Reads what records at these offsets say.
    pub async fn records_at(&self, offsets: &[i64]) -> Result<Vec<SensorRecord>, LogError> {
        let (Some(&first), Some(&last)) = (offsets.iter().min(), offsets.iter().max()) else {
            return Ok(Vec::new());
        };
        let range = Range { partition: PARTITION, start: first, end: last + 1 };
        let wanted: std::collections::HashSet<i64> = offsets.iter().copied().collect();
        let note = move |found: &mut Vec<SensorRecord>, record: &crate::batch::Record<'_>| {
            if wanted.contains(&record.offset) {
                found.extend(record.payload.and_then(SensorRecord::decode));
            }
        };
        read_ranges(&self.0.kafka, &self.0.settings, vec![range], Vec::new(), note).await
    }

    fn producer(&self) -> Arc<FutureProducer<Quiet>> {
        Arc::clone(&self.0.producer.read())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.read.stop.cancel();
    }
}

fn create_producer(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
) -> Result<FutureProducer<Quiet>, KafkaError> {
    let ours = [
        ("acks", "all"),
        // One record does not overtake another where librdkafka tries again.
        ("enable.idempotence", "true"),
        ("message.timeout.ms", MESSAGE_TIMEOUT_MS),
        ("linger.ms", "0"),
        ("allow.auto.create.topics", "false"),
    ];
    create_client(kafka, settings, &ours, Quiet)
}
