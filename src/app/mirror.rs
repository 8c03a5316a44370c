//! The worker's task that copies dead letters to `DEAD_LETTER_TOPIC`.
//!
//! Each at least once, in the order of their ids, after the transaction that set it aside. Nothing waits for it: where
//! Kafka does not take a letter it stays unmirrored in the table, and is sent again. One process at a time does it.

use std::time::Duration;

use anyhow::Context as _;
use chrono::SecondsFormat;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{DatabaseConfig, KafkaConfig, KafkaSettings},
    kafka::{LetterProducer, LetterRecord, RecordHeaders, producer::PublishError},
    metrics::DEAD_LETTERS_MIRRORED,
    store::{
        StoreError,
        dead_letters::{MirrorQueue, UnmirroredLetter},
    },
};

/// How often a queue that is empty is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait after a failure, and before asking again whether another process has let go of the queue.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Copies letters from a database to a topic.
pub(super) struct Mirror {
    database: DatabaseConfig,
    producer: LetterProducer,
    topic: String,
}

/// Why letters are not mirrored now.
#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error("{}: {}", .0, .0.cause())]
    Store(#[from] StoreError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Mirror {
    /// `kafka` names the mirror's topic.
    pub(super) fn new(
        database: &DatabaseConfig,
        kafka: &KafkaConfig,
        settings: &KafkaSettings,
    ) -> anyhow::Result<Self> {
        let producer = LetterProducer::new(kafka, settings).context("mirroring dead letters")?;
        Ok(Self { database: database.clone(), producer, topic: kafka.kafka_topic.clone() })
    }

    /// Copies until `stop`; letters that are on their way then are sent again by whoever comes next.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut is_failing = false;
        let working = async {
            loop {
                let outcome = self.work(&mut is_failing).await;
                if let Err(error) = outcome
                    && !std::mem::replace(&mut is_failing, true)
                {
                    tracing::warn!(
                        kafka.topic = self.topic, error = %error,
                        "dead letters are not mirrored; they stay in the table, trying on"
                    );
                }
                sleep(RETRY_INTERVAL).await;
            }
        };
        tokio::select! {
            () = working => {}
            () = stop.cancelled() => {}
        }
    }

    /// Copies for as long as it has the queue and all goes well; returns at once where another process has it.
    async fn work(&self, is_failing: &mut bool) -> Result<(), MirrorError> {
        let Some(mut queue) = MirrorQueue::take(&self.database).await? else { return Ok(()) };
        loop {
            let letters = queue.next().await?;
            if letters.is_empty() {
                sleep(POLL_INTERVAL).await;
                continue;
            }
            self.copy(&mut queue, &letters).await?;
            if std::mem::take(is_failing) {
                tracing::info!(kafka.topic = self.topic, "dead letters are mirrored again");
            }
        }
    }

    async fn copy(&self, queue: &mut MirrorQueue, letters: &[UnmirroredLetter]) -> Result<(), MirrorError> {
        let records = letters.iter().map(|letter| record(letter, Extent::Whole)).collect();
        let (mut mirrored, mut outcome) = self.producer.send(records).await;
        let first_left = letters.get(mirrored);
        // Brokers refuse what a client sends together as a whole: the letter may do alone. If not, it must not hold up
        // those behind it; what is left out is in the table.
        for extent in [Extent::Whole, Extent::Head] {
            if let (Err(PublishError::TooLarge), Some(letter)) = (&outcome, first_left) {
                let (acknowledged, again) = self.producer.send(vec![record(letter, extent)]).await;
                mirrored += acknowledged;
                outcome = again;
            }
        }
        let ids: Vec<i64> = letters[..mirrored].iter().map(|letter| letter.id).collect();
        queue.note_mirrored(&ids).await?;
        metrics::counter!(DEAD_LETTERS_MIRRORED).increment(mirrored as u64);
        Ok(outcome?)
    }
}

/// How much of a letter is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it.
    Whole,
    /// Only what says which one it is.
    Head,
}

/// The letter's record, with the headers that Kafka Connect gives to those of its dead letter queues; `sensorpipe.id`
/// tells a letter that comes twice.
fn record(letter: &UnmirroredLetter, extent: Extent) -> LetterRecord<'_> {
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
    LetterRecord {
        key: letter.key.as_deref().filter(|_| is_whole),
        payload: letter.payload.as_deref().filter(|_| is_whole),
        headers,
    }
}
