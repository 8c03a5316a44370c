//! Writes one batch after the other, each until it is committed or found to be somebody else's.

use std::{sync::Arc, time::Duration};

use rand::Rng;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Outage;
use crate::{
    batch::{Batch, Tally},
    health::Component,
    log::{Fence, Log, StoredOffset},
    metrics::{
        BATCH_BYTES, BATCH_PHASE_SECONDS, BATCH_READINGS, BATCHES, DEAD_LETTERS, FENCES, READINGS,
        WRITE_RETRIES, WRITE_SECONDS,
    },
    store::{BatchWriter, Phases, Report, StallReport, Written},
    traces::{self, BatchSpan, Filled},
};

/// What the writer is asked for; the log is the one that the offsets belong to.
pub(super) enum Job {
    /// To write a batch; how it was filled, where it was not handed over before.
    Write { log: Arc<Log>, batch: Batch, filled: Option<Box<Filled>> },
    /// To look at the stored offsets of these partitions, and to report which of them are stalled, where that is news.
    ReadStoredOffsets { log: Arc<Log>, partitions: Vec<i32>, stalled: Option<Vec<StallReport>> },
}

/// What came of a job. A batch comes back, for its memory or for what is left to do.
pub(super) enum Outcome {
    /// All of it is in the database.
    Committed(Batch),
    /// None of it was written: these partitions' stored offsets are not the ones expected.
    Fenced(Batch, Vec<Fence>),
    /// None of it was written: it is to be read again in batches of about so many readings, from these offsets.
    TooMuch { batch: Batch, fits: usize, stored: Vec<StoredOffset> },
    /// The stored offsets; none where the database did not answer.
    StoredOffsetsRead(Option<StoredOffsetsRead>),
}

/// The stored offsets of partitions; one that has no row is asked for and not among them.
pub(super) struct StoredOffsetsRead {
    pub(super) asked: Vec<i32>,
    pub(super) stored: Vec<StoredOffset>,
    /// Whether partitions are noted as stalled; none where that was not reported.
    pub(super) has_stalled: Option<bool>,
}

/// First and longest pause before a failed write is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Takes jobs until the channel closes. `abandon` ends the retries of one that cannot be written in time.
pub(super) async fn run(
    mut store: BatchWriter,
    health: Component,
    outage: Outage,
    mut jobs: mpsc::Receiver<Job>,
    abandon: CancellationToken,
    done: impl Fn(Outcome),
) {
    while let Some(job) = jobs.recv().await {
        let working = async {
            match job {
                Job::Write { log, batch, filled } => {
                    write(&mut store, &health, &outage, (&log, batch), filled).await
                }
                Job::ReadStoredOffsets { log, partitions, stalled } => {
                    read_stored_offsets(&mut store, &log, partitions, stalled).await
                }
            }
        };
        tokio::select! {
            () = abandon.cancelled() => return,
            outcome = working => done(outcome),
        }
    }
}

async fn read_stored_offsets(
    store: &mut BatchWriter,
    log: &Log,
    partitions: Vec<i32>,
    stalled: Option<Vec<StallReport>>,
) -> Outcome {
    match store.stored_offsets(log, &partitions).await {
        Ok(stored) => {
            let mut has_stalled = None;
            if let Some(stalled) = stalled {
                match store.report_stalls(log, &partitions, &stalled).await {
                    Ok(()) => has_stalled = Some(!stalled.is_empty()),
                    // Rights may be from before there was such a table.
                    Err(error) => {
                        tracing::debug!(error = %error, cause = error.cause(), "stalls not reported");
                    }
                }
            }
            Outcome::StoredOffsetsRead(Some(StoredOffsetsRead { asked: partitions, stored, has_stalled }))
        }
        Err(error) => {
            tracing::debug!(error = %error, cause = error.cause(), "stored offsets not checked");
            Outcome::StoredOffsetsRead(None)
        }
    }
}

async fn write(
    store: &mut BatchWriter,
    health: &Component,
    outage: &Outage,
    (log, batch): (&Log, Batch),
    filled: Option<Box<Filled>>,
) -> Outcome {
    let mut span = BatchSpan::start(&log.topic, &batch, filled.as_deref().copied());
    let context = span.as_ref().map(BatchSpan::context);
    let written =
        traces::within(context, until_written(store, health, outage, (log, &batch), &mut span)).await;
    match written {
        Written::Committed(_) => Outcome::Committed(batch),
        Written::Fenced(fences) => Outcome::Fenced(batch, fences),
        Written::TooMuch { fits, stored } => Outcome::TooMuch { batch, fits, stored },
    }
}

/// Attempts, with a pause after each that fails.
async fn until_written(
    store: &mut BatchWriter,
    health: &Component,
    outage: &Outage,
    (log, batch): (&Log, &Batch),
    span: &mut Option<BatchSpan>,
) -> Written {
    let mut trouble = outage.trouble(health);
    loop {
        let started = Instant::now();
        match trouble.report_while(store.write(log, batch)).await {
            Ok(written) => {
                match &written {
                    Written::Committed(_) | Written::Fenced(_) => trouble.record_success(),
                    Written::TooMuch { .. } => trouble.cut(),
                }
                match &written {
                    Written::Committed(report) => {
                        record(batch, report, started.elapsed());
                        if let Some(span) = span.take() {
                            span.committed(report);
                        }
                    }
                    Written::Fenced(fences) => {
                        metrics::counter!(FENCES).increment(fences.len() as u64);
                        if let Some(span) = span.take() {
                            span.fenced(fences.len());
                        }
                    }
                    Written::TooMuch { fits, .. } => {
                        tracing::info!(
                            readings = batch.reading_count(),
                            fits,
                            "a batch is too large for one transaction; its records are read again in smaller batches"
                        );
                        if let Some(span) = span.take() {
                            span.cut();
                        }
                    }
                }
                return written;
            }
            Err(error) => {
                if let Some(span) = span {
                    span.failed_once(error.sqlstate());
                }
                let class = error.sqlstate().map_or("none".to_owned(), |state| state[..2].to_owned());
                metrics::counter!(WRITE_RETRIES, "sqlstate_class" => class).increment(1);
                let attempts = trouble.record_failure(&error);
                tokio::time::sleep(backoff(attempts)).await;
            }
        }
    }
}

/// Everything that is counted, once a batch.
fn record(batch: &Batch, report: &Report, took: Duration) {
    metrics::histogram!(WRITE_SECONDS).record(took);
    let Phases { prepare, copy, commit } = report.phases;
    for (phase, took) in [("prepare", prepare), ("copy", copy), ("commit", commit)] {
        metrics::histogram!(BATCH_PHASE_SECONDS, "phase" => phase).record(took);
    }
    metrics::histogram!(BATCH_READINGS).record(batch.reading_count() as f64);
    metrics::histogram!(BATCH_BYTES).record(batch.byte_count() as f64);
    metrics::counter!(BATCHES).increment(1);
    let Tally { stored, duplicates, dead_lettered } = report.total;
    for (fate, count) in [("stored", stored), ("duplicate", duplicates), ("dead_lettered", dead_lettered)] {
        metrics::counter!(READINGS, "fate" => fate).increment(count as u64);
    }
    for &(reason, count) in &report.reasons {
        metrics::counter!(DEAD_LETTERS, "reason" => reason.as_str()).increment(count);
        tracing::warn!(reason = reason.as_str(), count, "readings dead-lettered");
    }
}

/// Doubles with each attempt up to a bound; a random part keeps consumers from coming back all at once.
fn backoff(attempts: u32) -> Duration {
    let (first, longest) = BACKOFF;
    let full = longest.min(first * 2_u32.saturating_pow(attempts.min(10) - 1));
    full.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert!(backoff(1) <= BACKOFF.0 && backoff(1) >= BACKOFF.0 / 2);
        for attempts in 6..100 {
            assert!(backoff(attempts) <= BACKOFF.1 && backoff(attempts) >= BACKOFF.1 / 2);
        }
    }
}
