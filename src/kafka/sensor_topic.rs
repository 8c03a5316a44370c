//! The compacted topic of the sensors: read from its beginning and followed, and written to.

mod reader;

use std::{
    collections::HashSet,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::{InvalidSettings, create_client},
    dead_letter_producer::Quiet,
    group::Notes,
    log_error::LogError,
    log_range::Range,
    log_reader::read_ranges,
    publish_error::PublishError,
    topic::{TopicError, find_sensors_topic},
};
use crate::{
    batch::Record,
    config::{KafkaConfig, KafkaSettings},
    registry::{Description, Registry, SensorRecord, Taken},
};

/// Of the topic, which has one: its order decides whose an id is.
pub(super) const PARTITION: i32 = 0;
/// Longest time from sending a record to its acknowledgement.
const MESSAGE_TIMEOUT_MS: &str = "5000";
/// How much longer than that is waited for the client, and how long for the next of what is to be read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a broker may take to say where the topic ends, or whether there is one.
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
    /// The client that reads, while there is one.
    client: RwLock<Option<Arc<BaseConsumer<Notes>>>>,
    /// Why nothing can be read, where that does not pass by itself.
    unreadable: Mutex<Option<String>>,
    /// The id of the topic when it was asked for last.
    topic_id: Mutex<Option<String>>,
    /// The topic is another one than that which was read.
    is_another: AtomicBool,
    /// What is known was read to its end once.
    is_whole: AtomicBool,
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
            client: RwLock::default(),
            unreadable: Mutex::default(),
            topic_id: Mutex::default(),
            is_another: AtomicBool::new(false),
            is_whole: AtomicBool::new(false),
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

    /// Its id; asks Kafka, and refuses a topic that could lose sensors. What was read of one that has been recreated since is
    /// forgotten.
    pub async fn id(&self) -> Result<String, TopicError> {
        const PAUSE: Duration = Duration::from_millis(50);
        let id = find_sensors_topic(&self.0.kafka, &self.0.settings).await?.identity.topic_id;
        let read = &self.0.read;
        let before = read.topic_id.lock().replace(id.clone());
        if before.is_some_and(|before| before != id) {
            read.is_another.store(true, Ordering::Release);
        }
        while read.is_another.load(Ordering::Acquire) && !read.stop.is_cancelled() {
            sleep(PAUSE).await;
        }
        Ok(id)
    }

    /// Whether it was read to its end at some time.
    pub fn is_whole(&self) -> bool {
        self.0.read.is_whole.load(Ordering::Acquire)
    }

    /// What has been read so far.
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.read.registry.lock()
    }

    /// Waits until all has been read that is there now.
    pub async fn read_to_end(&self) -> Result<(), UnreadError> {
        self.try_reading_to_end().await?;
        self.0.read.is_whole.store(true, Ordering::Release);
        Ok(())
    }

    async fn try_reading_to_end(&self) -> Result<(), UnreadError> {
        // Over its own connection, on which no fetch waits for records; but it may know no broker any more.
        let producer = self.producer();
        let by_producer =
            self.end(move |topic| producer.client().fetch_watermarks(topic, PARTITION, ASK_TIMEOUT));
        if let Ok(end) = by_producer.await {
            return self.read_up_to(end).await;
        }
        let Some(client) = self.reading_client().await else { return Err(self.unread(None).await) };
        match self.end(move |topic| client.fetch_watermarks(topic, PARTITION, ASK_TIMEOUT)).await {
            Ok(end) => self.read_up_to(end).await,
            Err(code) => Err(self.unread(code).await),
        }
    }

    /// Where the log ends, by a client that blocks.
    async fn end(
        &self,
        fetch_watermarks: impl FnOnce(&str) -> KafkaResult<(i64, i64)> + Send + 'static,
    ) -> Result<i64, Option<RDKafkaErrorCode>> {
        let topic = self.name().to_owned();
        match spawn_blocking(move || fetch_watermarks(&topic)).await {
            Ok(Ok((_, end))) => Ok(end),
            Ok(Err(error)) => Err(error.rdkafka_error_code()),
            Err(_panic) => Err(None),
        }
    }

    /// The client that reads; waits a moment for the next one.
    async fn reading_client(&self) -> Option<Arc<BaseConsumer<Notes>>> {
        const PAUSE: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + ASK_TIMEOUT;
        loop {
            let client = self.0.read.client.read().clone();
            if client.is_some() || Instant::now() > deadline {
                return client;
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until all below an offset has been read, for as long as there is progress.
    async fn read_up_to(&self, offset: i64) -> Result<(), UnreadError> {
        let mut read = self.0.read.next_offset.subscribe();
        while *read.borrow_and_update() < offset {
            match timeout(ANSWER_TIMEOUT, read.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(self.unread(None).await),
            }
        }
        Ok(())
    }

    /// librdkafka says of a partition without a leader what it says of a topic that is missing.
    async fn unread(&self, code: Option<RDKafkaErrorCode>) -> UnreadError {
        let topic = self.name().to_owned();
        let mut reason = self.0.read.unreadable.lock().clone();
        if let Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) = code {
            reason = Some(code.to_string());
        }
        if reason.is_none()
            && let Ok(Err(error @ (TopicError::Missing(_) | TopicError::NotCompacted(_)))) =
                timeout(ASK_TIMEOUT, self.id()).await
        {
            reason = Some(error.to_string());
        }
        match reason {
            Some(reason) => UnreadError::Unreadable { topic, reason },
            None => UnreadError::TooSlow { topic },
        }
    }

    /// Takes ids for sensors that are about to be made: once this has succeeded, nobody else has them, whatever becomes of
    /// the database.
    ///
    /// Where some of them are somebody else's, the others are given up.
    pub async fn claim(&self, sensors: Vec<(i32, Description)>) -> Result<(), ClaimError> {
        let claim = |(sensor_id, sensor)| SensorRecord {
            sensor_id,
            sensor: Some(sensor),
            claim: Some(rand::random()),
        };
        let records: Vec<SensorRecord> = sensors.into_iter().map(claim).collect();
        let claims: Vec<(i32, u64)> =
            records.iter().filter_map(|record| Some((record.sensor_id, record.claim?))).collect();
        self.registry().begin_claims(&claims).map_err(ClaimError::Taken)?;
        let under_way = UnderWay { topic: self, ids: claims.iter().map(|(id, _)| *id).collect() };
        let offsets = self.publish(&records).await?;
        self.read_up_to(offsets.iter().max().map_or(0, |last| last + 1)).await?;
        let given_up = {
            let mut registry = self.registry();
            let ids = under_way.ids.iter().copied();
            let ours: Vec<i32> = ids.clone().filter(|&id| registry.end_claim(id)).collect();
            if ours.len() == under_way.ids.len() {
                return Ok(());
            }
            ours
        };
        let states: Vec<_> = given_up.into_iter().map(|id| SensorRecord::state(id, None)).collect();
        self.publish(&states).await?;
        Err(ClaimError::Taken(self.registry().taken(under_way.ids.iter().copied())))
    }

    /// Publishes records in their order; their offsets, once all in-sync replicas have them.
    pub async fn publish(&self, records: &[SensorRecord]) -> Result<Vec<i64>, PublishError> {
        let published = self.try_publishing(records).await;
        let is_beyond_help = self.producer().client().fatal_error().is_some();
        if is_beyond_help || published == Err(PublishError::TimedOut) {
            match create_producer(&self.0.kafka, &self.0.settings) {
                Ok(client) => {
                    let former = mem::replace(&mut *self.0.producer.write(), Arc::new(client));
                    spawn_blocking(move || drop(former));
                }
                Err(error) => tracing::warn!(error = %error, "no Kafka client can be made for sensors"),
            }
        }
        published
    }

    async fn try_publishing(&self, records: &[SensorRecord]) -> Result<Vec<i64>, PublishError> {
        let (producer, deadline) = (self.producer(), Instant::now() + ANSWER_TIMEOUT);
        let mut sending = Vec::with_capacity(records.len());
        for record in records {
            let (key, value) = (record.key(), record.encode());
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
        let wanted: HashSet<i64> = offsets.iter().copied().collect();
        let note = move |found: &mut Vec<SensorRecord>, record: &Record<'_>| {
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

/// Claims that end with the value, whatever came of them.
struct UnderWay<'t> {
    topic: &'t SensorTopic,
    ids: Vec<i32>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut registry = self.topic.registry();
        for &id in &self.ids {
            registry.end_claim(id);
        }
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
