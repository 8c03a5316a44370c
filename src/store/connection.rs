//! Connections that write: one each, kept by their owner, never pooled.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::timeout;

use super::{
    StoreError, Unfit,
    hosts::{Follower, Hosts},
    options::{Purpose, servers},
    session::Session,
    sessions::Sessions,
};
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
    connect_following(database, application_name).await.map(|(connection, _)| connection)
}

/// The same, with what tells that the server is another one by now: the connection may stand for long after its host is
/// dead or a standby.
pub(super) async fn connect_following(
    database: &DatabaseConfig,
    application_name: &str,
) -> Result<(PgConnection, Follower), StoreError> {
    let servers = servers(&database.database_url, Purpose::Writing)?.named(application_name);
    let connecting = async {
        let hosts = Hosts::of(&database.database_url, servers.target);
        let (mut connection, follower) = hosts.connect(&servers).await?;
        match hosts.sessions(&mut connection, &servers, &follower).await {
            Sessions::Kept => {}
            Sessions::GivenAway => return Err(sqlx::Error::Configuration(Box::new(Unfit::NoSession))),
            Sessions::GivenAwayWithStatements => {
                return Err(sqlx::Error::Configuration(Box::new(Unfit::NoStatements)));
            }
        }
        Session::unlimited().set(&mut connection).await?;
        Ok((connection, follower))
    };
    // Boxed, for it is rare and large: a writer holds it beside each batch.
    timeout(CONNECT_TIMEOUT, Box::pin(connecting))
        .await
        .map_err(StoreError::timed_out("connecting to Postgres"))?
        .map_err(StoreError::new("connecting to Postgres"))
}

/// Takes what one process at a time may do; false where another one does it. It goes back with the connection, however
/// that ends.
pub(super) async fn takes(connection: &mut PgConnection, lock_key: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock_key).fetch_one(connection).await
}
