//! Backends of frozen processes.
//!
//! A process that is stopped inside COPY keeps its locks for as long as it stays stopped: to the server it is a
//! client that will send more, no timeout counts, and its kernel answers keepalives. Kafka gives its partitions to
//! somebody else, who then waits for a row of `ingest_offsets`.

use std::time::Duration;

use tokio::time::timeout;

use super::WriterConfig;
use crate::{
    metrics::BLOCKERS_ENDED,
    store::{
        StoreError,
        connection::{WRITER_APPLICATION_NAME, connect},
    },
};

/// Longest time that the look may take; the writer waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Ends backends of ours that block `backend_pid` while they wait for their own client.
///
/// A backend that is at work is left alone: it will finish, or its client will. Ending one is safe in any case, for
/// its batch was not committed and its owner finds the stored offsets moved.
pub(super) async fn end_blockers(config: &WriterConfig, backend_pid: i32) {
    let outcome = timeout(TIMEOUT, look(config, backend_pid)).await;
    match outcome.map_err(StoreError::timed_out("looking for frozen backends")).and_then(|ended| ended) {
        Ok(ended) => {
            for pid in ended {
                metrics::counter!(BLOCKERS_ENDED).increment(1);
                tracing::warn!(
                    db.backend_pid = pid,
                    "ended the backend of a frozen worker that held locks this one needs; its batch is done again"
                );
            }
        }
        Err(error) => {
            tracing::debug!(error = %error, cause = error.cause(), "frozen backends not looked for");
        }
    }
}

async fn look(config: &WriterConfig, backend_pid: i32) -> Result<Vec<i32>, StoreError> {
    let mut connection = connect(&config.database, "sensorpipe lock watch").await?;
    sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity
         WHERE pid = ANY (pg_blocking_pids($1)) AND usename = current_user AND application_name = $2
           AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - $3 * interval '1 second'
           AND pg_terminate_backend(pid)",
    )
    .bind(backend_pid)
    .bind(WRITER_APPLICATION_NAME)
    .bind(config.lock_timeout.as_secs_f64())
    .fetch_all(&mut connection)
    .await
    .map_err(StoreError::new("looking for frozen backends"))
}
