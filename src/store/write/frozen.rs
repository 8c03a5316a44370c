//! Backends of frozen processes.
//!
//! A process that is stopped inside COPY keeps its locks for as long as it stays stopped: to the server it is a
//! client that will send more, no timeout counts, and its kernel answers keepalives. Kafka gives its partitions to
//! somebody else, who then waits for a row of `ingest_offsets`.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{WriterConfig, open::Backend};
use crate::{
    metrics::BLOCKERS_ENDED,
    store::{
        StoreError,
        connection::{WRITER_APPLICATION_NAME, connect},
        hosts::Follower,
    },
};

/// Longest time that the look may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A backend that waited for its client when it was looked at, and how far it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suspect {
    pid: i32,
    /// Start of its transaction and of its statement, and the bytes that it has taken in.
    progress: String,
}

/// Runs an attempt; beside it, for as long as it lasts, looks now and then whether a frozen backend of ours blocks it, and
/// whether its own backend is still there.
///
/// A server that lost its power ends no connection: the attempt would wait for its answer. It is given up once connections
/// lead to a server that takes writes and knows nothing of it.
pub(super) async fn watched<T>(
    writing: impl Future<Output = Result<T, StoreError>>,
    config: &WriterConfig,
    backend: &Backend,
    follower: &Follower,
) -> Result<T, StoreError> {
    tokio::select! {
        written = writing => written,
        () = look_on(config, backend) => Err(gone()),
        () = follower.switched() => Err(gone()),
    }
}

fn gone() -> StoreError {
    let words = "the server that was written to is no longer the one that connections lead to";
    StoreError::new("writing a batch")(sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::ConnectionAborted,
        words,
    )))
}

/// Ends when the backend is gone.
async fn look_on(config: &WriterConfig, backend: &Backend) {
    // Two looks find a frozen one: the second is when the time is up.
    let half = (config.lock_timeout / 2).max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + half, half);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut suspects = Vec::new();
    loop {
        ticks.tick().await;
        match end_blockers(config, backend, &suspects).await {
            Some(waiting) => suspects = waiting,
            None => return,
        }
    }
}

/// Ends backends of ours that block this one while they wait for their own client, where the look before this
/// one found them in the same place. Returns those to be held against the next look; nothing where the backend is gone.
///
/// A backend that is at work is left alone: it will finish, or its client will; and so is one whose client is slow,
/// for it gets on. Ending one is safe in any case, for its batch was not committed and its owner finds the stored
/// offsets moved.
async fn end_blockers(
    config: &WriterConfig,
    backend: &Backend,
    suspects: &[Suspect],
) -> Option<Vec<Suspect>> {
    let outcome = timeout(TIMEOUT, end_silent_blockers(config, backend, suspects)).await;
    match outcome.map_err(StoreError::timed_out("looking for frozen backends")).and_then(|found| found) {
        Ok(None) => None,
        Ok(Some(found)) => {
            let (ended, waiting): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|(_, _, is_ended)| *is_ended);
            for (pid, _, _) in ended {
                metrics::counter!(BLOCKERS_ENDED).increment(1);
                tracing::warn!(
                    db.backend_pid = pid,
                    "ended the backend of a frozen worker that held locks this one needs; its batch is retried"
                );
            }
            Some(waiting.into_iter().map(|(pid, progress, _)| Suspect { pid, progress }).collect())
        }
        Err(error) => {
            tracing::debug!(error = %error, cause = error.cause(), "cannot look for frozen backends");
            Some(vec![])
        }
    }
}

/// Ends a backend of ours that was given up in the middle of a statement, which would go on and keep its locks. Connections
/// may lead to another server by now, which has a backend of the same pid that is none of ours.
pub(super) async fn end_given_up(config: &WriterConfig, backend: &Backend) {
    let ending = async {
        let mut connection = connect(&config.database, "sensorpipe lock watch").await?;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE pid = $1 AND backend_start IS NOT DISTINCT FROM $2::timestamptz AND usename = session_user",
        )
            .bind(backend.pid)
            .bind(&backend.started)
            .execute(&mut connection)
            .await
            .map_err(StoreError::new("ending a backend that was given up"))
    };
    if let Ok(Err(error)) = timeout(TIMEOUT, ending).await {
        tracing::debug!(error = %error, cause = error.cause(), "backend not ended");
    }
}

/// The backends found, and whether they were ended; nothing where this one is not there, on a server that takes writes.
///
/// The ending stands outside of what finds them, and the finding is materialized: in one `WHERE` Postgres chooses
/// the order of the conditions, and may end every backend of the server before it asks which ones block.
async fn end_silent_blockers(
    config: &WriterConfig,
    backend: &Backend,
    suspects: &[Suspect],
) -> Result<Option<Vec<(i32, String, bool)>>, StoreError> {
    let mut connection = connect(&config.database, "sensorpipe lock watch").await?;
    let is_there: bool = sqlx::query_scalar(
        "SELECT pg_is_in_recovery()
            OR EXISTS (SELECT FROM pg_stat_activity
                       WHERE pid = $1 AND backend_start IS NOT DISTINCT FROM $2::timestamptz)",
    )
    .bind(backend.pid)
    .bind(&backend.started)
    .fetch_one(&mut connection)
    .await
    .map_err(StoreError::new("looking for the backend of a batch"))?;
    if !is_there {
        return Ok(None);
    }
    sqlx::query_as(
        "WITH silent AS MATERIALIZED (
             SELECT pid, concat_ws(' ', xact_start, state_change, bytes_processed) AS progress
             FROM pg_stat_activity LEFT JOIN pg_stat_progress_copy USING (pid)
             WHERE pid = ANY (pg_blocking_pids($1)) AND usename = current_user AND application_name = $2
               AND wait_event = 'ClientRead'
         )
         SELECT pid, progress,
                CASE WHEN (pid, progress) IN (SELECT * FROM unnest($3::int[], $4::text[]))
                     THEN pg_terminate_backend(pid) ELSE false END
         FROM silent",
    )
    .bind(backend.pid)
    .bind(WRITER_APPLICATION_NAME)
    .bind(suspects.iter().map(|suspect| suspect.pid).collect::<Vec<_>>())
    .bind(suspects.iter().map(|suspect| suspect.progress.as_str()).collect::<Vec<_>>())
    .fetch_all(&mut connection)
    .await
    .map(Some)
    .map_err(StoreError::new("looking for frozen backends"))
}
