//! Records, as any producer would write them.

#![expect(unsafe_code, reason = "rdkafka has no safe call that adds brokers")]

use std::{
    ffi::CString,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message,
    bindings::rd_kafka_brokers_add,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

use crate::TestTopic;

/// Longer than a test leaves Kafka away.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);

/// A record to produce.
#[derive(Clone, Debug, Default)]
pub struct Record {
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    partition: Option<i32>,
    headers: Vec<(String, Vec<u8>)>,
    timestamp_ms: Option<i64>,
}

impl Record {
    /// A record with this value.
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    /// A record without a value.
    pub fn without_value() -> Self {
        Self::default()
    }

    /// With a key.
    #[must_use]
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// To this partition, whatever the key.
    #[must_use]
    pub fn partition(self, partition: i32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// With a header, after those it has.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this record timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(self, timestamp_ms: i64) -> Self {
        Self { timestamp_ms: Some(timestamp_ms), ..self }
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

impl TestTopic {
    /// Produces records, in order per partition; where each one went, in the order given.
    pub async fn produce(
        &self,
        records: impl IntoIterator<Item = Record, IntoIter: Send + 'static>,
    ) -> Vec<Delivered> {
        self.sink().produce(records).await
    }

    /// A producer for a task that outlives the borrow of the topic.
    pub fn sink(&self) -> Sink {
        Sink { producer: Arc::new(self.producer(&[])), topic: self.name.clone() }
    }

    /// Produces records in one Kafka transaction, which commits or is aborted: the log has gaps afterwards.
    pub async fn produce_in_transaction(
        &self,
        records: impl IntoIterator<Item = Record, IntoIter: Send + 'static>,
        commits: bool,
    ) -> Vec<Delivered> {
        let producer = self.producer(&[("transactional.id", &crate::unique_name("transaction"))]);
        let (topic, records) = (self.name.clone(), records.into_iter());
        tokio::task::spawn_blocking(move || {
            producer.init_transactions(FLUSH_TIMEOUT).expect("transactions work");
            producer.begin_transaction().expect("a transaction begins");
            let delivered = send_all(&producer, &topic, records);
            if commits {
                producer.commit_transaction(FLUSH_TIMEOUT).expect("the transaction commits");
            } else {
                producer.abort_transaction(FLUSH_TIMEOUT).expect("the transaction is aborted");
            }
            delivered
        })
        .await
        .expect("every record is delivered")
    }

    /// Produces records in a Kafka transaction that stays open.
    pub async fn open_transaction(
        &self,
        records: impl IntoIterator<Item = Record, IntoIter: Send + 'static>,
    ) -> OpenTransaction {
        let producer = self.producer(&[("transactional.id", &crate::unique_name("transaction"))]);
        let (topic, records) = (self.name.clone(), records.into_iter());
        tokio::task::spawn_blocking(move || {
            producer.init_transactions(FLUSH_TIMEOUT).expect("transactions work");
            producer.begin_transaction().expect("a transaction begins");
            send_all(&producer, &topic, records);
            OpenTransaction { producer }
        })
        .await
        .expect("every record is delivered")
    }

    fn producer(&self, settings: &[(&str, &str)]) -> ThreadedProducer<Deliveries> {
        let mut config = self.client_config();
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("compression.type", "lz4");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
            .create_with_context(Deliveries { brokers: self.brokers.clone(), ..Deliveries::default() })
            .expect("a producer can be made")
    }
}

/// A Kafka transaction that has not ended.
pub struct OpenTransaction {
    producer: ThreadedProducer<Deliveries>,
}

impl OpenTransaction {
    /// Commits it.
    pub async fn commit(self) {
        let committing = move || self.producer.commit_transaction(FLUSH_TIMEOUT);
        tokio::task::spawn_blocking(committing)
            .await
            .expect("committing does not panic")
            .expect("the transaction commits");
    }
}

/// An idempotent producer of one topic.
pub struct Sink {
    producer: Arc<ThreadedProducer<Deliveries>>,
    topic: String,
}

impl Sink {
    /// Produces records, in order per partition; where each one went, in the order given.
    pub async fn produce(
        &self,
        records: impl IntoIterator<Item = Record, IntoIter: Send + 'static>,
    ) -> Vec<Delivered> {
        let (producer, topic, records) =
            (Arc::clone(&self.producer), self.topic.clone(), records.into_iter());
        tokio::task::spawn_blocking(move || send_all(&producer, &topic, records))
            .await
            .expect("every record is delivered")
    }
}

fn send_all(
    producer: &ThreadedProducer<Deliveries>,
    topic: &str,
    records: impl Iterator<Item = Record>,
) -> Vec<Delivered> {
    let mut count = 0;
    for record in records {
        send(producer, topic, &record, count);
        count += 1;
    }
    flush(producer);
    let mut delivered =
        std::mem::take(&mut *producer.context().delivered.lock().expect("no thread panicked"));
    assert_eq!(delivered.len(), count, "records were not delivered");
    delivered.sort_unstable_by_key(|(index, _)| *index);
    delivered.into_iter().map(|(_, place)| place).collect()
}

/// Waits until every record is delivered, also where Kafka is away for a while.
fn flush(producer: &ThreadedProducer<Deliveries>) {
    const LOOK_AGAIN: Duration = Duration::from_secs(5);
    let started = Instant::now();
    while let Err(error) = producer.flush(LOOK_AGAIN) {
        assert!(started.elapsed() < FLUSH_TIMEOUT, "Kafka does not take the records: {error}");
        add_brokers(producer);
    }
}

/// Tells a client where the brokers are, again: one that came back from a crash answers for a moment that there are
/// none, and librdkafka (issue 5301) then forgets all of them for ever.
fn add_brokers(producer: &ThreadedProducer<Deliveries>) {
    let brokers = CString::new(producer.context().brokers.as_str()).expect("no NUL in it");
    // SAFETY: the client is alive, and librdkafka copies the text.
    unsafe { rd_kafka_brokers_add(producer.client().native_ptr(), brokers.as_ptr()) };
}

fn send(producer: &ThreadedProducer<Deliveries>, topic: &str, record: &Record, index: usize) {
    let mut to_send: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, index);
    to_send.key = record.key.as_deref();
    to_send.payload = record.payload.as_deref();
    to_send.partition = record.partition;
    to_send.timestamp = record.timestamp_ms;
    if !record.headers.is_empty() {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        to_send.headers = Some(headers);
    }
    loop {
        match producer.send(to_send) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                to_send = returned;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => panic!("a record cannot be sent: {error}"),
        }
    }
}

/// Notes where each record went.
#[derive(Clone, Default)]
struct Deliveries {
    brokers: String,
    delivered: Arc<Mutex<Vec<(usize, Delivered)>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Self::DeliveryOpaque) {
        match result {
            Ok(message) => {
                let place = Delivered { partition: message.partition(), offset: message.offset() };
                self.delivered.lock().expect("no thread panicked").push((index, place));
            }
            Err((error, _)) => eprintln!("record {index} was not delivered: {error}"),
        }
    }
}
