//! Publishes readings: each is acknowledged by all in-sync replicas, or it is an error within a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Histogram, gauge, histogram};
use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    client::Client,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _},
    statistics::Statistics,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use super::publish_error::PublishError;
use super::{
    RecordHeaders, TopicError,
    bootstrap::Bootstrap,
    client::{create_client, log_line},
    describe::error_code,
    live_topic::LiveTopic,
    partitioner::Partitioner,
    publish_error::recorded,
};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    health::Component,
    metrics::{
        PRODUCER_QUEUE_BYTES, PRODUCER_QUEUE_MAX_BYTES, PRODUCER_QUEUE_MAX_RECORDS, PRODUCER_QUEUE_RECORDS,
        PUBLISH_SECONDS, PUBLISHED_READINGS,
    },
};

/// A batch is split into records of at most this many bytes.
///
/// The default `max.message.bytes` of a topic is 1,048,588 and that of a librdkafka message 1,000,000, and both
/// count what a record has besides its value: key, headers (the trace), framing.
pub const MAX_RECORD_BYTES: usize = 900_000;

/// Records that wait for Kafka in this process; one more is refused. At 30,000 a second, three seconds' worth.
const QUEUE_MAX_RECORDS: &str = "100000";
/// The same in kibibytes; twice what the largest body that HTTP takes becomes in the topic's format.
const QUEUE_MAX_KIB: &str = "65536";
/// How long a record waits for company. Two milliseconds are below what a client notices and let one request to
/// the broker carry hundreds of records under load; with 0 the broker's request rate is the limit.
const LINGER_MS: &str = "2";
/// How often librdkafka says how full its queue is; that costs it a walk over its brokers and partitions.
const STATISTICS_MS: &str = "5000";

/// How often the brokers are asked for the topic: when they answered last time, and when they did not.
const PROBE_INTERVAL_UP: Duration = Duration::from_secs(5);
const PROBE_INTERVAL_DOWN: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a record is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The partition of the topic.
    pub partition: i32,
    /// The record's offset there.
    pub offset: i64,
}

/// The client cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka producer's settings are refused")]
pub struct InvalidSettings(#[source] pub KafkaError);

/// Publishes to the topic of the readings; clones share one client.
#[derive(Clone)]
pub struct Producer {
    client: FutureProducer<Watcher>,
    topic: Arc<str>,
    publish_timeout: Duration,
    kafka: Component,
    bootstrap: Arc<Mutex<Bootstrap>>,
    partitioner: Partitioner,
    live_topic: Arc<watch::Sender<Option<Arc<LiveTopic>>>>,
    went_down: Arc<Notify>,
    acknowledged_readings: Arc<AtomicU64>,
    publish_seconds: Histogram,
}

/// A record on its way to Kafka.
pub struct Sending {
    delivery: DeliveryFuture,
    sent: Instant,
    deadline: Instant,
}

impl Producer {
    /// Makes the client; Kafka need not be there yet.
    ///
    /// `kafka` learns how the brokers are. `failed` is cancelled when the client is beyond repair and a new
    /// process has to take over, such as without the right to write.
    pub fn new(
        config: &KafkaConfig,
        settings: &KafkaSettings,
        publish_timeout: Duration,
        kafka: Component,
        failed: CancellationToken,
    ) -> Result<Self, InvalidSettings> {
        let message_timeout_ms = publish_timeout.as_millis().to_string();
        let ours = [
            ("acks", "all"),
            // A retry of librdkafka's own never makes a second record, nor moves one before another.
            ("enable.idempotence", "true"),
            ("message.timeout.ms", &message_timeout_ms),
            ("linger.ms", LINGER_MS),
            ("statistics.interval.ms", STATISTICS_MS),
            ("queue.buffering.max.messages", QUEUE_MAX_RECORDS),
            ("queue.buffering.max.kbytes", QUEUE_MAX_KIB),
            ("compression.type", "lz4"),
            // The default of 10 s is how long the api would stay away from a broker that is back.
            ("reconnect.backoff.max.ms", "2000"),
            // `migrate` makes the topic, with the partitions that were asked for.
            ("allow.auto.create.topics", "false"),
        ];
        let went_down = Arc::new(Notify::new());
        let watcher = Watcher { kafka: kafka.clone(), failed, went_down: Arc::clone(&went_down) };
        let client = create_client(config, settings, &ours, watcher).map_err(InvalidSettings)?;
        let bootstrap = Arc::new(Mutex::new(Bootstrap::new(&config.kafka_brokers)));
        Ok(Self {
            client,
            topic: config.kafka_topic.as_str().into(),
            publish_timeout,
            kafka,
            bootstrap,
            partitioner: Partitioner::from_settings(settings),
            live_topic: Arc::default(),
            went_down,
            acknowledged_readings: Arc::default(),
            publish_seconds: histogram!(PUBLISH_SECONDS),
        })
    }

    /// The topic that everything goes to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether a record is worth a try: not while Kafka is known to be away. The watch finds out when it is back.
    pub fn ready(&self) -> Result<(), PublishError> {
        if self.kafka.is_out() { Err(recorded(PublishError::Down)) } else { Ok(()) }
    }

    /// The topic as Kafka described it last; the first time that is waited for.
    pub async fn live_topic(&self) -> Result<Arc<LiveTopic>, PublishError> {
        let mut described = self.live_topic.subscribe();
        let first = described.wait_for(Option::is_some);
        match tokio::time::timeout(self.publish_timeout, first).await {
            Ok(Ok(topic)) => topic.clone().ok_or(PublishError::Down),
            Ok(Err(_)) | Err(_) => Err(PublishError::Down),
        }
    }

    /// The same without waiting; none where Kafka has not described it yet.
    pub fn known_topic(&self) -> Option<Arc<LiveTopic>> {
        self.live_topic.borrow().clone()
    }

    /// Counts readings that Kafka has acknowledged.
    pub fn count_acknowledged(&self, readings: usize) {
        metrics::counter!(PUBLISHED_READINGS).increment(readings as u64);
        self.acknowledged_readings.fetch_add(readings as u64, Ordering::Relaxed);
    }

    /// How many those are, since the process began.
    pub fn acknowledged_readings(&self) -> u64 {
        self.acknowledged_readings.load(Ordering::Relaxed)
    }

    /// The partition that a sensor's readings go to where the topic has so many.
    pub fn partition_of(&self, sensor_id: i32, partitions: i32) -> i32 {
        self.partitioner.partition(itoa::Buffer::new().format(sensor_id).as_bytes(), partitions)
    }

    /// Whether the topic's log has a record, or another trace of one, at an offset or after it.
    pub async fn reaches(
        &self,
        topic: &LiveTopic,
        partition: i32,
        offset: i64,
    ) -> Result<bool, PublishError> {
        topic
            .reaches(partition, offset, async || {
                let (client, topic) = (self.client.clone(), Arc::clone(&self.topic));
                let asked = tokio::task::spawn_blocking(move || {
                    client.client().fetch_watermarks(&topic, partition, PROBE_TIMEOUT)
                });
                let (_, end) = asked.await.map_err(|panic| PublishError::Refused(panic.to_string()))??;
                Ok(end)
            })
            .await
    }

    /// Sends one record in the topic's format; the key is a sensor's id in decimal.
    pub fn send(
        &self,
        sensor_id: i32,
        payload: &str,
        headers: RecordHeaders,
    ) -> Result<Sending, PublishError> {
        let mut key = itoa::Buffer::new();
        let mut record = FutureRecord::to(&self.topic).key(key.format(sensor_id)).payload(payload);
        record.headers = headers.into_inner();
        let sent = Instant::now();
        let deadline = sent + self.publish_timeout;
        match self.client.send_result(record) {
            Ok(delivery) => Ok(Sending { delivery, sent, deadline }),
            Err((error, _)) => Err(recorded(error.into())),
        }
    }

    /// Waits until Kafka has a record on all in-sync replicas.
    pub async fn sent(&self, sending: Sending) -> Result<Receipt, PublishError> {
        // librdkafka looks for timeouts once a second, so its own answer may come late.
        match tokio::time::timeout_at(sending.deadline, sending.delivery).await {
            Ok(Ok(Ok(delivery))) => {
                self.publish_seconds.record(sending.sent.elapsed());
                Ok(Receipt { partition: delivery.partition, offset: delivery.offset })
            }
            Ok(Ok(Err((error, _)))) => Err(recorded(error.into())),
            // The client is gone: the process stops.
            Ok(Err(_canceled)) => Err(recorded(PublishError::TimedOut)),
            Err(_elapsed) => Err(recorded(PublishError::TimedOut)),
        }
    }

    /// Publishes one sensor's records in their order; all are on their way before the first is waited for.
    ///
    /// After an error some of them may be in the log.
    pub async fn publish_all(
        &self,
        sensor_id: i32,
        payloads: &[String],
    ) -> Result<Vec<Receipt>, PublishError> {
        let sending = payloads
            .iter()
            .map(|payload| self.send(sensor_id, payload, RecordHeaders::default()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut receipts = Vec::with_capacity(sending.len());
        for sending in sending {
            receipts.push(self.sent(sending).await?);
        }
        Ok(receipts)
    }

    /// Asks the brokers for the topic now and then, until `stop`, and tells `kafka` what came of it.
    pub async fn watch(self, stop: CancellationToken) {
        loop {
            let prober = self.clone();
            // The call blocks its thread for up to the timeout.
            let answer = tokio::task::spawn_blocking(move || prober.probe()).await;
            let interval = match answer.unwrap_or_else(|panic| Err(panic.to_string())) {
                Ok(()) => {
                    self.kafka.up();
                    PROBE_INTERVAL_UP
                }
                Err(reason) => {
                    self.kafka.down(reason);
                    PROBE_INTERVAL_DOWN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                // Whoever said so may be wrong, and everybody is turned away meanwhile.
                () = self.went_down.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn probe(&self) -> Result<(), String> {
        let client = self.client.client();
        let answer = client.fetch_metadata(Some(&self.topic), PROBE_TIMEOUT);
        self.bootstrap.lock().note(client, answer.is_ok());
        let metadata = answer.map_err(|error| error.to_string())?;
        if let Some(error) = metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error) {
            return Err(format!("topic {}: {:?}", self.topic, error_code(error)));
        }
        self.describe(client).unwrap_or_else(|error| tracing::debug!("{error}"));
        Ok(())
    }

    fn describe(&self, client: &Client<impl ClientContext>) -> Result<(), TopicError> {
        let described = LiveTopic::ask(client, &self.topic, PROBE_TIMEOUT)?;
        self.live_topic.send_if_modified(|known| {
            let is_new = known.as_ref().is_none_or(|known| !known.is_like(&described));
            if is_new {
                *known = Some(Arc::new(described));
            }
            is_new
        });
        Ok(())
    }

    /// Waits until everything is acknowledged or has failed, for at most `timeout`; what is left is given up.
    ///
    /// Returns the number of records given up.
    pub async fn close(self, timeout: Duration) -> usize {
        let flushed = tokio::task::spawn_blocking(move || {
            let flushed = self.client.flush(timeout);
            let left = self.client.in_flight_count();
            // Dropping the client purges what is left.
            if flushed.is_ok() { 0 } else { usize::try_from(left).unwrap_or_default() }
        });
        flushed.await.unwrap_or_default()
    }
}

/// What librdkafka says between the records.
struct Watcher {
    kafka: Component,
    failed: CancellationToken,
    went_down: Arc<Notify>,
}

impl ClientContext for Watcher {
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if !self.kafka.is_out() {
                    self.went_down.notify_one();
                }
                self.kafka.down("no broker answers");
            }
            Some(RDKafkaErrorCode::Fatal) => {
                tracing::error!("the Kafka producer cannot go on: {reason}");
                self.kafka.down(reason);
                self.failed.cancel();
            }
            // One broker's connection; librdkafka mends it, and the component tells when none is left.
            _ => tracing::debug!("librdkafka: {error}: {reason}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        gauge!(PRODUCER_QUEUE_RECORDS).set(statistics.msg_cnt as f64);
        gauge!(PRODUCER_QUEUE_BYTES).set(statistics.msg_size as f64);
        gauge!(PRODUCER_QUEUE_MAX_RECORDS).set(statistics.msg_max as f64);
        gauge!(PRODUCER_QUEUE_MAX_BYTES).set(statistics.msg_size_max as f64);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Health, Need};

    fn producer(publish_timeout: Duration, settings: &[(&str, &str)]) -> Producer {
        let config = KafkaConfig {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_topic: "nowhere".to_owned(),
            kafka_group: "none".to_owned(),
        };
        let settings =
            KafkaSettings(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let kafka = Health::default().component("kafka", Need::Required);
        Producer::new(&config, &settings, publish_timeout, kafka, CancellationToken::new()).unwrap()
    }

    #[tokio::test]
    async fn without_a_broker_publishing_fails_within_the_bound() {
        let producer = producer(Duration::from_millis(300), &[]);
        let start = Instant::now();
        let records = ["{}".to_owned(), "{}".to_owned()];
        assert_eq!(producer.publish_all(1, &records).await, Err(PublishError::TimedOut));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        producer.close(Duration::from_millis(10)).await;
    }

    #[tokio::test]
    async fn a_full_queue_is_said_at_once() {
        let producer = producer(Duration::from_secs(60), &[("queue.buffering.max.messages", "1")]);
        let start = Instant::now();
        let records = ["{}".to_owned(), "{}".to_owned()];
        assert_eq!(producer.publish_all(1, &records).await, Err(PublishError::QueueFull));
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(producer.close(Duration::from_millis(10)).await, 1);
    }
}
