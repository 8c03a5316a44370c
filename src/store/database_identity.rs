//! `database_identity`: which database this is, for those who share a consumer group.

use sqlx::PgConnection;

use super::{
    StoreError,
    pool::{LOOK_UP_TIMEOUT, Pool},
};
use crate::log::DatabaseId;

const DOING: &str = "reading the database's id";

/// The id of the database that this connection leads to.
pub(super) async fn read(connection: &mut PgConnection) -> Result<DatabaseId, StoreError> {
    ask(connection).await.map_err(StoreError::new(DOING))
}

/// The id of the pool's database.
pub async fn database_id(pool: &Pool) -> Result<DatabaseId, StoreError> {
    pool.run_within(LOOK_UP_TIMEOUT, DOING, |connection| Box::pin(ask(connection))).await
}

async fn ask(connection: &mut PgConnection) -> Result<DatabaseId, sqlx::Error> {
    let id: String =
        sqlx::query_scalar("SELECT id::text FROM database_identity").fetch_one(connection).await?;
    DatabaseId::parse(&id).ok_or_else(|| sqlx::Error::Decode(format!("{id} is no UUID").into()))
}
