//! Connecting while the server may still be starting.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::{StoreError, Unfit, connection::connect};
use crate::config::DatabaseConfig;

const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How long what starts with everything else waits for Postgres to come up.
pub(super) const STARTUP_PATIENCE: Duration = Duration::from_secs(30);
/// How long a command waits that somebody has just typed.
pub(super) const COMMAND_PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Postgres did not take a connection in time.
    #[error("Postgres at {database} did not answer within {} s", waited.as_secs())]
    Unreachable {
        /// Where it was looked for, without secrets.
        database: String,
        /// For how long.
        waited: Duration,
        /// What the last attempt met.
        #[source]
        source: StoreError,
    },
    /// What is connected to cannot serve.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Postgres said no, or the URL is not usable.
    #[error(transparent)]
    Refused(#[from] StoreError),
}

/// Connects, again and again where the server is not up yet; the last attempt begins within `patience`.
pub async fn connect_within(
    patience: Duration,
    database: &DatabaseConfig,
    application_name: &str,
) -> Result<PgConnection, ConnectError> {
    let deadline = Instant::now() + patience;
    let mut is_first_failure = true;
    loop {
        let source = match connect(database, application_name).await {
            Ok(connection) => return Ok(connection),
            Err(error) if error.may_come_up() => error,
            Err(error) => {
                return Err(error.as_unfit().cloned().map_or_else(|| error.into(), ConnectError::from));
            }
        };
        if Instant::now() + RETRY_INTERVAL > deadline {
            let database = database.database_url.to_string();
            return Err(ConnectError::Unreachable { database, waited: patience, source });
        }
        if std::mem::take(&mut is_first_failure) {
            tracing::info!(
                database = %database.database_url,
                cause = source.server_message(),
                "waiting up to {} s for Postgres",
                patience.as_secs()
            );
        }
        sleep(RETRY_INTERVAL).await;
    }
}
