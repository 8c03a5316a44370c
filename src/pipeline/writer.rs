//! Writes one batch after the other, each until it is committed or found to be somebody else's.

use std::{sync::Arc, time::Duration};

use rand::Rng;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Log;
use crate::{
    batch::Batch,
    health::Component,
    metrics::{BATCH_READINGS, BATCHES, DEAD_LETTERS, FENCES, READINGS, WRITE_RETRIES, WRITE_SECONDS},
    store::{BatchWriter, Fence, StoreError, StoredOffset, Written},
};

/// What the writer is asked for; the log is the one that the offsets belong to.
pub(super) enum Job {
    /// To write a batch.
    Write { log: Arc<Log>, batch: Batch },
    /// To look at the stored offsets of these partitions.
    Look { log: Arc<Log>, partitions: Vec<i32> },
}

/// What came of a job. A batch comes back, for its memory or for what is left to do.
pub(super) enum Outcome {
    /// All of it is in the database.
    Committed(Batch),
    /// None of it was written: these partitions' stored offsets are not the ones expected.
    Fenced(Batch, Vec<Fence>),
    /// The stored offsets; none where the database did not answer.
    Looked(Option<Looked>),
}

/// The stored offsets of partitions; one that has no row is asked for and not among them.
pub(super) struct Looked {
    pub(super) asked: Vec<i32>,
    pub(super) stored: Vec<StoredOffset>,
}

/// First and longest pause before a failed write is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A failure that goes on for so long makes the worker unready.
const UNWELL_AFTER: Duration = Duration::from_secs(5);

/// How often a failure that goes on is logged.
const REMINDER: Duration = Duration::from_secs(30);

/// Takes jobs until the channel closes. `abandon` ends the retries of one that cannot be written in time.
pub(super) async fn run(
    mut store: BatchWriter,
    health: Component,
    mut jobs: mpsc::Receiver<Job>,
    abandon: CancellationToken,
    done: impl Fn(Outcome),
) {
    while let Some(job) = jobs.recv().await {
        let working = async {
            match job {
                Job::Write { log, batch } => write(&mut store, &health, &log, batch).await,
                Job::Look { log, partitions } => look(&mut store, &log, partitions).await,
            }
        };
        tokio::select! {
            () = abandon.cancelled() => return,
            outcome = working => done(outcome),
        }
    }
}

async fn look(store: &mut BatchWriter, log: &Log, partitions: Vec<i32>) -> Outcome {
    match store.look(log, &partitions).await {
        Ok(stored) => Outcome::Looked(Some(Looked { asked: partitions, stored })),
        Err(error) => {
            tracing::debug!(error = %error, cause = error.cause(), "stored offsets not looked at");
            Outcome::Looked(None)
        }
    }
}

async fn write(store: &mut BatchWriter, health: &Component, log: &Log, batch: Batch) -> Outcome {
    let mut trouble = Trouble::default();
    loop {
        let started = Instant::now();
        match store.write(log, &batch).await {
            Ok(Written::Committed(report)) => {
                trouble.over(health);
                metrics::histogram!(WRITE_SECONDS).record(started.elapsed());
                metrics::histogram!(BATCH_READINGS)
                    .record((batch.rows().len() + batch.rejected().len()) as f64);
                metrics::counter!(BATCHES).increment(1);
                metrics::counter!(READINGS, "fate" => "stored").increment(report.total.stored as u64);
                metrics::counter!(READINGS, "fate" => "duplicate").increment(report.total.duplicates as u64);
                metrics::counter!(READINGS, "fate" => "dead_lettered")
                    .increment(report.total.dead_lettered as u64);
                for (reason, count) in report.reasons {
                    metrics::counter!(DEAD_LETTERS, "reason" => reason.as_str()).increment(count);
                    tracing::warn!(reason = reason.as_str(), count, "readings dead-lettered");
                }
                return Outcome::Committed(batch);
            }
            Ok(Written::Fenced(fences)) => {
                trouble.over(health);
                metrics::counter!(FENCES).increment(fences.len() as u64);
                return Outcome::Fenced(batch, fences);
            }
            Err(error) => {
                let pause = trouble.met(&error, health);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// A row of failures, logged at its start, now and then, and at its end.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    logged: Option<Instant>,
    attempts: u32,
}

impl Trouble {
    /// Notes a failure; how long to wait before the next attempt.
    fn met(&mut self, error: &StoreError, health: &Component) -> Duration {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        self.attempts += 1;
        let class = error.sqlstate().map_or("none".to_owned(), |state| state[..2].to_owned());
        metrics::counter!(WRITE_RETRIES, "sqlstate_class" => class).increment(1);
        if now - since >= UNWELL_AFTER {
            health.down("batches are not written; they wait in Kafka");
        }
        if self.logged.is_none_or(|logged| now - logged >= REMINDER) {
            self.logged = Some(now);
            let seconds = (now - since).as_secs();
            let cause = error.cause();
            if error.is_retriable() {
                tracing::warn!(
                    error = %error, cause, db.sqlstate = error.sqlstate(), seconds, attempts = self.attempts,
                    "batch not written; nothing is lost, trying on"
                );
            } else {
                tracing::error!(
                    error = %error, cause, db.sqlstate = error.sqlstate(), seconds, attempts = self.attempts,
                    "batch cannot be written before this is mended; nothing is lost, trying on"
                );
            }
        }
        backoff(self.attempts)
    }

    fn over(&self, health: &Component) {
        if let Some(since) = self.since {
            health.up();
            let (seconds, attempts) = (since.elapsed().as_secs(), self.attempts);
            tracing::info!(seconds, attempts, "batches are written again");
        }
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
