//! The librdkafka client of a producer, and the next one, once it is beyond help.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, gauge};
use parking_lot::RwLock;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, Producer as _},
    statistics::Statistics,
};
use tokio::sync::Notify;

use super::client::{InvalidSettings, create_client, log_line};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    health::Component,
    metrics::{
        PRODUCER_QUEUE_BYTES, PRODUCER_QUEUE_MAX_BYTES, PRODUCER_QUEUE_MAX_RECORDS, PRODUCER_QUEUE_RECORDS,
        PRODUCERS_RECREATED,
    },
};

/// Records that wait for Kafka in this process; one more is refused. At 30,000 a second, three seconds' worth.
const QUEUE_MAX_RECORDS: &str = "100000";
/// The same in kibibytes; twice what the largest body that HTTP takes becomes in the topic's format.
const QUEUE_MAX_KIB: &str = "65536";
/// How long a record waits for company. Two milliseconds are below what a client notices and let one request to
/// the broker carry hundreds of records under load; with 0 the broker's request rate is the limit.
const LINGER_MS: &str = "2";
/// How often librdkafka says how full its queue is; that costs it a walk over its brokers and partitions.
const STATISTICS_MS: &str = "5000";

/// Between a client's start and that of the one after it: at first, and at most where one after the other fails.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The client that is in use; clones share it.
///
/// A fatal error of an idempotent producer, as when the log that it writes to was cut, is the client's end: it answers
/// each record with that error and connects to nobody any more. Another client has another producer id and begins its
/// sequence numbers anew, so it can do what the old one cannot. The records that the old one held fail, and whoever sent
/// them sends them again, as after a timeout.
#[derive(Clone)]
pub(super) struct ProducerClient(Arc<Shared>);

struct Shared {
    kafka: KafkaConfig,
    settings: KafkaSettings,
    message_timeout_ms: String,
    health: Component,
    reported: Arc<Notify>,
    current: RwLock<Current>,
}

struct Current {
    client: FutureProducer<Watcher>,
    started: Instant,
    /// Before this client is replaced.
    pause: Duration,
}

impl ProducerClient {
    /// Makes the first client; Kafka need not be there yet.
    pub(super) fn new(
        kafka: &KafkaConfig,
        settings: &KafkaSettings,
        publish_timeout: Duration,
        health: Component,
    ) -> Result<Self, InvalidSettings> {
        let (kafka, settings) = (kafka.clone(), settings.clone());
        let message_timeout_ms = publish_timeout.as_millis().to_string();
        let reported = Arc::new(Notify::new());
        let watcher = Watcher { health: health.clone(), reported: Arc::clone(&reported) };
        let client = create(&kafka, &settings, &message_timeout_ms, watcher).map_err(InvalidSettings)?;
        let current = RwLock::new(Current { client, started: Instant::now(), pause: PAUSE_MIN });
        Ok(Self(Arc::new(Shared { kafka, settings, message_timeout_ms, health, reported, current })))
    }

    /// The client as it is now; not to be kept.
    pub(super) fn get(&self) -> FutureProducer<Watcher> {
        self.0.current.read().client.clone()
    }

    /// Waits until the client reports that something is wrong with it.
    pub(super) async fn reported(&self) {
        self.0.reported.notified().await;
    }

    /// Has a client replaced that is beyond help; to be called after an error. What comes next is turned away until then.
    pub(super) fn check(&self) {
        if let Some(reason) = fatal_error(&self.get()) {
            self.0.health.down(reason);
            self.0.reported.notify_one();
        }
    }

    /// Replaces a client that is beyond help, or says why it is not replaced yet. Blocks while the old one closes.
    pub(super) fn replace_where_fatal(&self) -> Result<(), String> {
        let Some(reason) = fatal_error(&self.get()) else { return Ok(()) };
        self.0.health.down(reason.clone());
        let (started, pause) = {
            let current = self.0.current.read();
            (current.started, current.pause)
        };
        if started.elapsed() < pause {
            return Err(reason);
        }
        let watcher = Watcher { health: self.0.health.clone(), reported: Arc::clone(&self.0.reported) };
        let client = create(&self.0.kafka, &self.0.settings, &self.0.message_timeout_ms, watcher)
            .map_err(|error| format!("{reason}; another client cannot be made: {error}"))?;
        let pause = if started.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        let next = Current { client, started: Instant::now(), pause };
        let old = mem::replace(&mut *self.0.current.write(), next);
        counter!(PRODUCERS_RECREATED).increment(1);
        tracing::error!(
            "{reason}; the producer was recreated, and clients send again what it had not acknowledged"
        );
        drop(old);
        Ok(())
    }

    /// Fails the client for good, as a broker's answer would.
    #[cfg(test)]
    #[expect(unsafe_code, reason = "rdkafka does not wrap librdkafka's way to test fatal errors")]
    pub(super) fn fail_for_test(&self) {
        use rdkafka::bindings as native;
        // SAFETY: the client is alive; librdkafka copies the text.
        unsafe {
            native::rd_kafka_test_fatal_error(
                self.get().client().native_ptr(),
                native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                c"for a test".as_ptr(),
            );
        }
    }
}

/// Why a client is of no use any more; none while it is. The error callback gets the code that it began with, which
/// other errors have, too.
fn fatal_error(client: &FutureProducer<Watcher>) -> Option<String> {
    let (code, reason) = client.client().fatal_error()?;
    Some(format!("the Kafka producer failed for good: {reason} ({code:?})"))
}

fn create(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    message_timeout_ms: &str,
    watcher: Watcher,
) -> Result<FutureProducer<Watcher>, KafkaError> {
    let ours = [
        ("acks", "all"),
        // A retry of librdkafka's own never makes a second record, nor moves one before another.
        ("enable.idempotence", "true"),
        ("message.timeout.ms", message_timeout_ms),
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
    create_client(kafka, settings, &ours, watcher)
}

/// What librdkafka says between the records.
pub(super) struct Watcher {
    health: Component,
    reported: Arc<Notify>,
}

impl ClientContext for Watcher {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            // One broker's connection; librdkafka mends it, and the component tells when none is left.
            tracing::debug!("librdkafka: {error}: {reason}");
            return;
        }
        if !self.health.is_out() {
            self.reported.notify_one();
        }
        self.health.down("no broker answers");
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
