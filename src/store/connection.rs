//! Connections that write: one each, kept by their owner, never pooled.

use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;

use super::{StoreError, options::options};
use crate::config::DatabaseConfig;

/// How the connections of this process's writers are known to others: the owner of a partition looks for it among
/// those that hold a lock it needs.
pub(super) const WRITER_APPLICATION_NAME: &str = "sensorpipe worker";

/// How long setting up a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server does about a writer that has gone silent: minutes of nothing end its transaction and free its
/// locks. (A writer frozen inside COPY is not silent to the server; the owner of its partitions ends it.)
const SESSION: [(&str, &str); 7] = [
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
    ("TimeZone", "UTC"),
    // A statement must see what was committed before it took its locks, whatever the database's own default is. The
    // option's text is split at spaces.
    ("default_transaction_isolation", r"read\ committed"),
];

/// Connects as `application_name`, within a bound.
pub(super) async fn connect(
    database: &DatabaseConfig,
    application_name: &str,
) -> Result<PgConnection, StoreError> {
    let options = options(&database.database_url)?
        .application_name(application_name)
        .options(SESSION)
        .disable_statement_logging();
    timeout(CONNECT_TIMEOUT, options.connect())
        .await
        .map_err(StoreError::timed_out("connecting to Postgres"))?
        .map_err(StoreError::new("connecting to Postgres"))
}

/// Takes what one process at a time may do; false where another one does it. It goes back with the connection, however
/// that ends.
pub(super) async fn takes(connection: &mut PgConnection, lock_key: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock_key).fetch_one(connection).await
}

/// Whether the database answers a question now.
pub async fn answers(database: &DatabaseConfig) -> bool {
    let asking = async {
        let mut connection = connect(database, "sensorpipe ping").await?;
        sqlx::query("SELECT").execute(&mut connection).await.map_err(StoreError::new("asking for nothing"))
    };
    timeout(CONNECT_TIMEOUT, asking).await.is_ok_and(|outcome| outcome.is_ok())
}
