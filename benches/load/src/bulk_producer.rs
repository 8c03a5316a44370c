//! Sends records by the hundred thousand a second; what became of each is told to a function.

use std::time::Duration;

use rdkafka::{
    ClientContext, Message,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};

use sensorpipe::{
    config::{KafkaConfig, KafkaSettings},
    kafka::{
        create_client,
        producer::{InvalidSettings, PublishError, Receipt},
    },
};

/// Records that wait for Kafka in this process; past that the sender waits, too.
const QUEUE_MAX_RECORDS: &str = "200000";
/// The same in kibibytes.
const QUEUE_MAX_KIB: &str = "65536";
/// Longest time from sending a record to its acknowledgement; then it has failed.
const MESSAGE_TIMEOUT_MS: &str = "30000";

/// Called on the client's own thread with the word that a record was sent with.
type OnDelivery = Box<dyn Fn(usize, Result<Receipt, PublishError>) + Send + Sync>;

/// A producer that nobody waits for, record by record.
pub(crate) struct BulkProducer {
    client: ThreadedProducer<Deliveries>,
    topic: String,
}

impl BulkProducer {
    /// Makes the client. A record waits up to `linger` for others to be sent with.
    pub(crate) fn new(
        config: &KafkaConfig,
        settings: &KafkaSettings,
        linger: Duration,
        on_delivery: impl Fn(usize, Result<Receipt, PublishError>) + Send + Sync + 'static,
    ) -> Result<Self, InvalidSettings> {
        let linger_ms = linger.as_millis().to_string();
        let ours = [
            ("acks", "all"),
            // Nothing is twice in the log unless it was sent twice.
            ("enable.idempotence", "true"),
            ("message.timeout.ms", MESSAGE_TIMEOUT_MS),
            ("linger.ms", &linger_ms),
            ("queue.buffering.max.messages", QUEUE_MAX_RECORDS),
            ("queue.buffering.max.kbytes", QUEUE_MAX_KIB),
            ("compression.type", "lz4"),
            ("allow.auto.create.topics", "false"),
        ];
        let deliveries = Deliveries { on_delivery: Box::new(on_delivery) };
        let client = create_client(config, settings, &ours, deliveries).map_err(InvalidSettings)?;
        Ok(Self { client, topic: config.kafka_topic.clone() })
    }

    /// Waits until the brokers are there and have told about the topic; blocks the thread.
    pub(crate) fn connect(&self, timeout: Duration) -> Result<(), PublishError> {
        self.client.client().fetch_metadata(Some(&self.topic), timeout)?;
        Ok(())
    }

    /// Takes a record to send; never waits. `word` comes back with what became of it.
    pub(crate) fn send(&self, key: &str, payload: &str, word: usize) -> Result<(), PublishError> {
        let record = BaseRecord::with_opaque_to(&self.topic, word).key(key).payload(payload);
        self.client.send(record).map_err(|(error, _)| error.into())
    }

    /// Waits until every record is acknowledged or has failed; blocks the thread.
    pub(crate) fn flush(&self, timeout: Duration) {
        // Those that are left then fail when the client goes.
        if let Err(error) = self.client.flush(timeout) {
            tracing::warn!(error = %error, "not every record was acknowledged");
        }
    }
}

struct Deliveries {
    on_delivery: OnDelivery,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("librdkafka: {error}: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, word: usize) {
        let answer = match result {
            Ok(message) => Ok(Receipt { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(error.clone().into()),
        };
        (self.on_delivery)(word, answer);
    }
}
