//! One partition: its log is read and decoded on a thread, and looked up in the database meanwhile.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::{sync::mpsc, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::Audit;
use crate::{
    app::servers::Servers,
    audit::{
        ChunkBuilder, ChunkDeadLetters, Example, KnownTimes, LogChunk, Outcomes, Pace, Plan, chunk_readings,
    },
    config::RECORD_MAX_BYTES,
    kafka::{LogError, LogReader, Progress, Range},
    log::Log,
    store::audit::LookUp,
};

/// Chunks that wait while one is looked up: the log is read meanwhile, and no further.
const CHUNKS_WAITING: usize = 1;

/// What was found of a partition.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Readings before counts are known.
    pub(super) before: Outcomes,
    /// Readings that counts are held against.
    pub(super) counted: Outcomes,
    /// Some of those that are not where they should be.
    pub(super) examples: Vec<Example>,
    /// Why its log could not be read to the end: then the figures say nothing.
    pub(super) unread: Option<LogError>,
}

/// A chunk, and for how long the reader was at work for it.
type Read = (LogChunk, Duration);

/// Reads what the plan says and looks all of it up, as fast as `pace` lets it.
pub(super) async fn run(
    audit: &Audit,
    log: &Log,
    partition: i32,
    (plan, known): (Plan, Option<KnownTimes>),
    pace: &Mutex<Pace>,
    stop: &CancellationToken,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    if plan.from >= plan.until {
        return Ok(found);
    }
    let mut look_up = LookUp::connect(&audit.servers.database, log, partition).await?;
    let (chunks, mut read) = mpsc::channel(CHUNKS_WAITING);
    let reading = Reading {
        servers: audit.servers.clone(),
        partition,
        plan,
        known,
        chunk_readings: chunk_readings(audit.config.cpu_share()),
        stop: stop.clone(),
    };
    let reading = tokio::task::spawn_blocking(move || reading.run(&chunks));
    while let Some((mut chunk, mut busy)) = read.recv().await {
        let started = Instant::now();
        // Before the dead letters: what was not kept once may be kept when it is read again.
        let not_kept = look_up.not_kept(chunk.first, chunk.last).await?;
        let letters = look_up.letters(chunk.first, chunk.last).await?;
        let letters = ChunkDeadLetters { set_aside: chunk.separate_dead_letters(&letters), not_kept };
        let sorted = chunk.readings();
        let findings = look_up.findings(&sorted).await?;
        let most = audit.config.examples;
        let outcomes = chunk.outcomes(partition, &letters, &sorted, &findings, &mut found.examples, most);
        if chunk.is_counted {
            found.counted += outcomes;
        } else {
            found.before += outcomes;
        }
        busy += started.elapsed();
        let next = pace.lock().charge(started, busy);
        sleep_until(next.into()).await;
    }
    match reading.await? {
        Ok(()) => {}
        Err(error @ LogError::SetUp(_)) => return Err(error.into()),
        Err(
            error @ (LogError::Client(_)
            | LogError::StartPassed { .. }
            | LogError::Stalled { .. }
            | LogError::Unreadable { .. }),
        ) => found.unread = Some(error),
    }
    Ok(found)
}

/// The reader's thread.
struct Reading {
    servers: Servers,
    partition: i32,
    plan: Plan,
    known: Option<KnownTimes>,
    chunk_readings: usize,
    stop: CancellationToken,
}

impl Reading {
    /// Ends early where nobody takes the chunks any more.
    fn run(self, chunks: &mpsc::Sender<Read>) -> Result<(), LogError> {
        let Plan { from, until, counted_from, is_resumed: _ } = self.plan;
        let counted_from = counted_from.map_or(i64::MAX, |point| point.offset);
        let mut builder = ChunkBuilder::new(self.chunk_readings, RECORD_MAX_BYTES, counted_from, self.known);
        let range = Range { partition: self.partition, start: from, end: until };
        let Servers { kafka, settings, .. } = &self.servers;
        let mut reader = LogReader::open(kafka, settings, &[range])?;
        let (mut done, mut busy) = (Vec::new(), Duration::ZERO);
        while !self.stop.is_cancelled() {
            let (started, mut records) = (Instant::now(), 0_u32);
            let progress = reader.read(|record| {
                records += 1;
                done.extend(builder.push(record));
            })?;
            // Else it has waited for Kafka.
            if records > 0 {
                busy += started.elapsed();
            }
            for chunk in done.drain(..) {
                if chunks.blocking_send((chunk, std::mem::take(&mut busy))).is_err() {
                    return Ok(());
                }
            }
            if progress == Progress::End {
                break;
            }
        }
        if let Some(chunk) = builder.finish() {
            // Nobody takes it where the look-ups have failed, which is said there.
            let _ = chunks.blocking_send((chunk, busy));
        }
        Ok(())
    }
}
