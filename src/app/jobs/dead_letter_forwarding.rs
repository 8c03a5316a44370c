//! Copies dead letters to `DEAD_LETTER_TOPIC`.
//!
//! Each at least once, in the order of their ids, after the transaction that set it aside. Nothing waits for it: where
//! Kafka does not take a dead letter it stays in the table, and is sent again. One process at a time does it.

use std::time::Duration;

use anyhow::Context as _;
use chrono::SecondsFormat;

use super::{Failure, Job, Round};
use crate::{
    config::{DatabaseConfig, KafkaConfig, KafkaSettings},
    kafka::{DeadLetterProducer, DeadLetterRecord, RecordHeaders, producer::PublishError},
    metrics::DEAD_LETTERS_MIRRORED,
    store::dead_letters::{ForwardingQueue, UnforwardedDeadLetter},
};

/// How often a queue that is empty is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait after a failure, and before asking again whether another process has let go of the queue.
const TAKE_INTERVAL: Duration = Duration::from_secs(2);

/// Copies dead letters from a database to a topic.
pub(in crate::app) struct DeadLetterForwarding {
    database: DatabaseConfig,
    producer: DeadLetterProducer,
    /// Held from one round to the next; none where another process has it, and after a failure.
    queue: Option<ForwardingQueue>,
}

impl DeadLetterForwarding {
    /// `kafka` names the topic that they are copied to.
    pub(in crate::app) fn new(
        database: &DatabaseConfig,
        kafka: &KafkaConfig,
        settings: &KafkaSettings,
    ) -> anyhow::Result<Self> {
        let producer = DeadLetterProducer::new(kafka, settings).context("forwarding dead letters")?;
        Ok(Self { database: database.clone(), producer, queue: None })
    }

    async fn copy(
        &mut self,
        queue: &mut ForwardingQueue,
        letters: &[UnforwardedDeadLetter],
    ) -> Result<(), Failure> {
        let records = letters.iter().map(|letter| record(letter, Extent::Whole)).collect();
        let (mut mirrored, mut outcome) = self.producer.send(records).await;
        let first_left = letters.get(mirrored);
        // Brokers refuse what a client sends together as a whole: the dead letter may do alone. If not, it must not hold up
        // those behind it; what is left out is in the table.
        for extent in [Extent::Whole, Extent::Head] {
            if let (Err(PublishError::TooLarge), Some(letter)) = (&outcome, first_left) {
                let (acknowledged, again) = self.producer.send(vec![record(letter, extent)]).await;
                mirrored += acknowledged;
                outcome = again;
            }
        }
        let ids: Vec<i64> = letters[..mirrored].iter().map(|letter| letter.id).collect();
        queue.mark_forwarded(&ids).await?;
        metrics::counter!(DEAD_LETTERS_MIRRORED).increment(mirrored as u64);
        outcome.map_err(|error| Failure::passing(&error))
    }
}

impl Job for DeadLetterForwarding {
    const NAME: &'static str = "dead_letter_forwarding";

    fn interval(&self) -> Duration {
        if self.queue.is_some() { POLL_INTERVAL } else { TAKE_INTERVAL }
    }

    /// Copies until the queue is empty; those that are on their way when the worker stops are sent again by whoever
    /// comes next.
    async fn round(&mut self) -> Result<Round, Failure> {
        let queue = match self.queue.take() {
            Some(queue) => Some(queue),
            None => ForwardingQueue::take(&self.database).await?,
        };
        let Some(mut queue) = queue else { return Ok(Round::Elsewhere) };
        loop {
            let letters = queue.next().await?;
            if letters.is_empty() {
                self.queue = Some(queue);
                return Ok(Round::Done);
            }
            self.copy(&mut queue, &letters).await?;
        }
    }
}

/// How much of a dead letter is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it.
    Whole,
    /// Only what says which one it is.
    Head,
}

/// The dead letter's record, with the headers that Kafka Connect gives to those of its dead letter queues; `sensorpipe.id`
/// tells a dead letter that comes twice.
fn record(letter: &UnforwardedDeadLetter, extent: Extent) -> DeadLetterRecord<'_> {
    let is_whole = extent == Extent::Whole;
    let mut headers = RecordHeaders::default();
    for (name, value) in letter.headers().into_iter().filter(|_| is_whole) {
        headers = headers.with_bytes(&name, value.as_deref());
    }
    headers = headers
        .with("__connect.errors.topic", &letter.topic)
        .with("__connect.errors.partition", &letter.partition.to_string())
        .with("__connect.errors.offset", &letter.offset.to_string())
        .with("__connect.errors.connector.name", "sensorpipe")
        .with("__connect.errors.exception.class.name", &letter.reason)
        .with("__connect.errors.exception.message", &letter.detail)
        .with("sensorpipe.id", &letter.id.to_string());
    if let Some(time) = letter.record_time {
        headers = headers.with("sensorpipe.record_time", &time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    }
    if let Some(item) = letter.item {
        headers = headers.with("sensorpipe.item", &item.to_string());
    }
    if !is_whole {
        let omitted = letter.payload.as_ref().map_or(0, Vec::len);
        headers = headers.with("sensorpipe.payload_bytes_omitted", &omitted.to_string());
    }
    DeadLetterRecord {
        key: letter.key.as_deref().filter(|_| is_whole),
        payload: letter.payload.as_deref().filter(|_| is_whole),
        headers,
    }
}
