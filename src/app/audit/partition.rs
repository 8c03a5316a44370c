//! One partition: its log is read and decoded on a thread, and looked up in the database meanwhile.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Audit;
use crate::{
    audit::{ChunkBuilder, Example, Fates, KnownTimes, LogChunk, Plan},
    config::{KafkaConfig, KafkaSettings},
    kafka::{LogError, LogReader, Progress},
    pipeline::Log,
    store::audit::LookUp,
};

/// Readings that are looked up at a time.
const CHUNK_READINGS: usize = 50_000;
/// Chunks that wait while one is looked up: the log is read meanwhile, and no further.
const CHUNKS_WAITING: usize = 1;

/// What was found of a partition.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Readings before counts are known.
    pub(super) before: Fates,
    /// Readings that counts are held against.
    pub(super) counted: Fates,
    /// Some of those that are not where they should be.
    pub(super) examples: Vec<Example>,
}

/// Reads what the plan says and looks all of it up.
pub(super) async fn run(
    audit: &Audit,
    log: &Log,
    partition: i32,
    (plan, known): (Plan, Option<KnownTimes>),
    stop: &CancellationToken,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    if plan.from >= plan.until {
        return Ok(found);
    }
    let mut look_up = LookUp::connect(&audit.database, log, partition).await?;
    let (chunks, mut read) = mpsc::channel(CHUNKS_WAITING);
    let reading = Reading {
        kafka: audit.kafka.clone(),
        settings: audit.settings.clone(),
        partition,
        plan,
        known,
        max_record_bytes: audit.config.record_max_bytes,
        stop: stop.clone(),
    };
    let reading = tokio::task::spawn_blocking(move || reading.run(&chunks));
    while let Some(mut chunk) = read.recv().await {
        let letters = look_up.letters(chunk.first, chunk.last).await?;
        let letters = chunk.set_letters_aside(&letters);
        let sorted = chunk.readings();
        let findings = look_up.findings(&sorted).await?;
        let most = audit.config.examples;
        let fates = chunk.fates(partition, letters, &sorted, &findings, &mut found.examples, most);
        if chunk.is_counted {
            found.counted += fates;
        } else {
            found.before += fates;
        }
    }
    reading.await??;
    Ok(found)
}

/// The reader's thread.
struct Reading {
    kafka: KafkaConfig,
    settings: KafkaSettings,
    partition: i32,
    plan: Plan,
    known: Option<KnownTimes>,
    max_record_bytes: usize,
    stop: CancellationToken,
}

impl Reading {
    /// Ends early where nobody takes the chunks any more.
    fn run(self, chunks: &mpsc::Sender<LogChunk>) -> Result<(), LogError> {
        let Plan { from, until, counted_from, is_resumed: _ } = self.plan;
        let counted_from = counted_from.map_or(i64::MAX, |point| point.offset);
        let mut builder = ChunkBuilder::new(CHUNK_READINGS, self.max_record_bytes, counted_from, self.known);
        let mut reader = LogReader::open(&self.kafka, &self.settings, self.partition, from, until)?;
        let mut done = Vec::new();
        while !self.stop.is_cancelled() {
            let progress = reader.read(|record| done.extend(builder.push(record)))?;
            for chunk in done.drain(..) {
                if chunks.blocking_send(chunk).is_err() {
                    return Ok(());
                }
            }
            if progress == Progress::End {
                break;
            }
        }
        if let Some(chunk) = builder.finish() {
            // Nobody takes it where the look-ups have failed, which is said there.
            let _ = chunks.blocking_send(chunk);
        }
        Ok(())
    }
}
