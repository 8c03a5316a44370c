//! How Postgres keeps what was committed.

use sqlx::{Connection as _, PgConnection};

use super::{StoreError, connection::connect};
use crate::{config::DatabaseConfig, durability::CommitSettings};

/// Asks over a connection of its own, which has the settings of the server, the database and the role.
pub async fn commit_settings(database: &DatabaseConfig) -> Result<CommitSettings, StoreError> {
    let mut connection = connect(database, "sensorpipe settings").await?;
    let read = ask(&mut connection).await.map_err(StoreError::new("reading how Postgres commits"));
    connection.close().await.ok();
    read
}

async fn ask(connection: &mut PgConnection) -> Result<CommitSettings, sqlx::Error> {
    let (synchronous_commit, has_synchronous_standbys, fsync, full_page_writes) = sqlx::query_as(
        "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names') <> '',
                current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean",
    )
    .fetch_one(connection)
    .await?;
    Ok(CommitSettings { synchronous_commit, has_synchronous_standbys, fsync, full_page_writes })
}
