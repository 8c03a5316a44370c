//! Publishes readings: each is acknowledged by all in-sync replicas, or it is an error within a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Histogram, histogram};
use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    client::Client,
    error::KafkaError,
    producer::{DeliveryFuture, FutureRecord, Producer as _},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    RecordHeaders, TopicError, bootstrap::Bootstrap, describe::error_code, live_topic::LiveTopic,
    partitioner::Partitioner, producer_client::ProducerClient, publish_error::recorded,
};
pub use super::{client::InvalidSettings, publish_error::PublishError};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    health::Component,
    metrics::{PUBLISH_SECONDS, PUBLISHED_READINGS},
};

/// A batch is split into records of at most this many bytes.
///
/// The default `max.message.bytes` of a topic is 1,048,588 and that of a librdkafka message 1,000,000, and both
/// count what a record has besides its value: key, headers (the trace), framing.
pub const MAX_RECORD_BYTES: usize = 900_000;

/// How often the brokers are asked for the topic: when they answered last time, and when they did not.
const PROBE_INTERVAL_UP: Duration = Duration::from_secs(5);
const PROBE_INTERVAL_DOWN: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// After Kafka has refused a record for its time, how long no other one is tried: the clock has to be set first.
const CLOCK_PAUSE: Duration = Duration::from_secs(30);

/// Where a record is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The partition of the topic.
    pub partition: i32,
    /// The record's offset there.
    pub offset: i64,
}

/// Publishes to the topic of the readings; clones share one client.
#[derive(Clone)]
pub struct Producer {
    client: ProducerClient,
    topic: Arc<str>,
    publish_timeout: Duration,
    kafka: Component,
    bootstrap: Arc<Mutex<Bootstrap>>,
    partitioner: Partitioner,
    live_topic: Arc<watch::Sender<Option<Arc<LiveTopic>>>>,
    /// When Kafka refused a record for its time, until another one is tried.
    clock_refused: Arc<Mutex<Option<Instant>>>,
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
    /// `kafka` learns how the brokers are.
    pub fn new(
        config: &KafkaConfig,
        settings: &KafkaSettings,
        publish_timeout: Duration,
        kafka: Component,
    ) -> Result<Self, InvalidSettings> {
        Ok(Self {
            client: ProducerClient::new(config, settings, publish_timeout, kafka.clone())?,
            topic: config.kafka_topic.as_str().into(),
            publish_timeout,
            kafka,
            bootstrap: Arc::new(Mutex::new(Bootstrap::new(&config.kafka_brokers))),
            partitioner: Partitioner::from_settings(settings),
            live_topic: Arc::default(),
            clock_refused: Arc::default(),
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
        if !self.kafka.is_out() {
            return Ok(());
        }
        let is_clock = self.clock_refused.lock().is_some();
        Err(recorded(if is_clock { PublishError::ClockRefused } else { PublishError::Down }))
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
                let (client, topic) = (self.client.get(), Arc::clone(&self.topic));
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
        match self.client.get().send_result(record) {
            Ok(delivery) => Ok(Sending { delivery, sent, deadline }),
            Err((error, _)) => Err(self.failed(error)),
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
            Ok(Ok(Err((error, _)))) => Err(self.failed(error)),
            // The client is gone: the process stops, or another client is there.
            Ok(Err(_canceled)) => Err(recorded(PublishError::TimedOut)),
            Err(_elapsed) => Err(recorded(PublishError::TimedOut)),
        }
    }

    fn failed(&self, error: KafkaError) -> PublishError {
        self.client.check();
        let error = PublishError::from(error);
        if error == PublishError::ClockRefused {
            *self.clock_refused.lock() = Some(Instant::now());
            self.kafka.down(error.to_string());
        }
        recorded(error)
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
                () = self.client.reported() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn probe(&self) -> Result<(), String> {
        self.client.replace_where_fatal()?;
        let producer = self.client.get();
        let client = producer.client();
        let answer = client.fetch_metadata(Some(&self.topic), PROBE_TIMEOUT);
        self.bootstrap.lock().note(client, answer.is_ok());
        let metadata = answer.map_err(|error| error.to_string())?;
        if let Some(error) = metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error) {
            return Err(format!("topic {}: {:?}", self.topic, error_code(error)));
        }
        self.describe(client).unwrap_or_else(|error| tracing::debug!("{error}"));
        let mut clock_refused = self.clock_refused.lock();
        *clock_refused = clock_refused.filter(|at| at.elapsed() < CLOCK_PAUSE);
        clock_refused.map_or(Ok(()), |_| Err(PublishError::ClockRefused.to_string()))
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
            let client = self.client.get();
            let flushed = client.flush(timeout);
            let left = client.in_flight_count();
            // Dropping the client purges what is left.
            if flushed.is_ok() { 0 } else { usize::try_from(left).unwrap_or_default() }
        });
        flushed.await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Health, Need, State};

    fn producer(publish_timeout: Duration, settings: &[(&str, &str)]) -> Producer {
        let config = KafkaConfig {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_topic: "nowhere".to_owned(),
            kafka_group: "none".to_owned(),
            kafka_sensors_topic: None,
        };
        let settings =
            KafkaSettings(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let kafka = Health::default().component("kafka", Need::Required);
        Producer::new(&config, &settings, publish_timeout, kafka).unwrap()
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
    async fn a_client_beyond_help_is_replaced() {
        let producer = producer(Duration::from_secs(5), &[]);
        let records = ["{}".to_owned()];
        producer.client.fail_for_test();
        assert_eq!(producer.publish_all(1, &records).await, Err(PublishError::Down));
        assert_eq!(producer.ready(), Err(PublishError::Down), "nobody is sent to it any more");
        let State::Down(reason) = producer.kafka.state() else { panic!("it is ready") };
        assert!(
            reason.contains("failed for good") && reason.contains("OutOfOrderSequenceNumber"),
            "{reason}"
        );
        let started = Instant::now();
        while producer.client.replace_where_fatal().is_err() {
            assert!(started.elapsed() < Duration::from_secs(5), "it was not replaced");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The next one waits for a broker, as the first one did.
        assert_eq!(producer.publish_all(1, &records).await, Err(PublishError::TimedOut));
        // That it fails as well is no reason to make one after the other.
        producer.client.fail_for_test();
        assert!(producer.client.replace_where_fatal().is_ok(), "it lived longer than the pause");
        producer.client.fail_for_test();
        assert!(producer.client.replace_where_fatal().is_err());
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
