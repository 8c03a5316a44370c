//! Connections that write: one each, kept by their owner, never pooled.

use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;

use super::{StoreError, options::options, session::Session};
use crate::config::DatabaseConfig;

/// How the connections of this process's writers are known to others: the owner of a partition looks for it among
/// those that hold a lock it needs.
pub(super) const WRITER_APPLICATION_NAME: &str = "sensorpipe worker";

/// How long setting up a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects as `application_name`, with the settings of our own, within a bound.
pub(super) async fn connect(
    database: &DatabaseConfig,
    application_name: &str,
) -> Result<PgConnection, StoreError> {
    let options =
        options(&database.database_url)?.application_name(application_name).disable_statement_logging();
    let connecting = async {
        let mut connection = options.connect().await?;
        Session::unlimited().set(&mut connection).await?;
        Ok(connection)
    };
    timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(StoreError::timed_out("connecting to Postgres"))?
        .map_err(StoreError::new("connecting to Postgres"))
}

/// Takes what one process at a time may do; false where another one does it. It goes back with the connection, however
/// that ends.
pub(super) async fn takes(connection: &mut PgConnection, lock_key: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock_key).fetch_one(connection).await
}
