//! Sends dead letters to a topic of their own, in their order.

use std::time::Duration;

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{FutureProducer, FutureRecord, Producer as _},
};

use super::{
    RecordHeaders,
    client::{create_client, log_line},
    producer::{InvalidSettings, PublishError},
};
use crate::config::{KafkaConfig, KafkaSettings};

/// Longest time from sending a dead letter to its acknowledgement; then it is sent again.
const MESSAGE_TIMEOUT_MS: &str = "30000";
/// A dead letter may hold a record that was refused because it is too large; what the topic takes is for its broker to say.
const MESSAGE_MAX_BYTES: &str = "33554432";
/// How much longer than the client's own timeout is waited for the client.
const GRACE: Duration = Duration::from_secs(35);

/// A record to send.
#[derive(Debug)]
pub struct DeadLetterRecord<'l> {
    /// Its key.
    pub key: Option<&'l [u8]>,
    /// Its value.
    pub payload: Option<&'l [u8]>,
    /// Its headers.
    pub headers: RecordHeaders,
}

/// A producer of one topic.
pub struct DeadLetterProducer {
    kafka: KafkaConfig,
    settings: KafkaSettings,
    client: FutureProducer<Quiet>,
}

impl DeadLetterProducer {
    /// Makes the client; neither Kafka nor the topic need be there yet.
    pub fn new(kafka: &KafkaConfig, settings: &KafkaSettings) -> Result<Self, InvalidSettings> {
        let client = create(kafka, settings).map_err(InvalidSettings)?;
        Ok(Self { kafka: kafka.clone(), settings: settings.clone(), client })
    }

    /// Puts another client in the place of one that is of no use: after a fatal error, or where it got no answer, for it
    /// may know no broker any more. What the old one has still on its way is sent again.
    fn replace_client(&mut self) {
        match create(&self.kafka, &self.settings) {
            Ok(client) => self.client = client,
            Err(error) => tracing::warn!(error = %error, "no Kafka client can be made for dead letters"),
        }
    }

    /// Sends records in their order; all are on their way before the first is waited for. Says how many from the
    /// first on are acknowledged, and what became of the one after them. Some behind it may be in the log, too.
    pub async fn send(&mut self, records: Vec<DeadLetterRecord<'_>>) -> (usize, Result<(), PublishError>) {
        let sent = self.try_sending(records).await;
        if sent.1 == Err(PublishError::TimedOut) || self.client.client().fatal_error().is_some() {
            self.replace_client();
        }
        sent
    }

    async fn try_sending(&self, records: Vec<DeadLetterRecord<'_>>) -> (usize, Result<(), PublishError>) {
        let mut sending = Vec::with_capacity(records.len());
        let mut refused = Ok(());
        for record in records {
            let to_send = FutureRecord::<[u8], [u8]> {
                topic: &self.kafka.kafka_topic,
                partition: None,
                payload: record.payload,
                key: record.key,
                // That of the record which was set aside may be one that brokers refuse.
                timestamp: None,
                headers: record.headers.into_inner(),
            };
            match self.client.send_result(to_send) {
                Ok(delivery) => sending.push(delivery),
                Err((error, _)) => {
                    refused = Err(error.into());
                    break;
                }
            }
        }
        let sent = sending.len();
        for (acknowledged, delivery) in sending.into_iter().enumerate() {
            let error = match tokio::time::timeout(GRACE, delivery).await {
                Ok(Ok(Ok(_))) => continue,
                Ok(Ok(Err((error, _)))) => error.into(),
                Ok(Err(_)) | Err(_) => PublishError::TimedOut,
            };
            return (acknowledged, Err(error));
        }
        (sent, refused)
    }
}

fn create(kafka: &KafkaConfig, settings: &KafkaSettings) -> Result<FutureProducer<Quiet>, KafkaError> {
    let ours = [
        ("acks", "all"),
        // One dead letter does not overtake another where librdkafka tries again.
        ("enable.idempotence", "true"),
        ("message.timeout.ms", MESSAGE_TIMEOUT_MS),
        ("message.max.bytes", MESSAGE_MAX_BYTES),
        ("linger.ms", "5"),
        ("compression.type", "lz4"),
        ("allow.auto.create.topics", "false"),
    ];
    create_client(kafka, settings, &ours, Quiet)
}

/// Says nothing of brokers that come and go: who sends tells what fails.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {reason}");
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}
