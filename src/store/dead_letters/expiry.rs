//! Dead letters that are older than they are kept.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::removal::{Outcome, Removed, begin, remove};
use crate::{
    config::DatabaseConfig,
    store::{
        StoreError,
        connection::{connect, takes},
    },
};

/// Of the advisory lock that lets one process at a time do it: "letters" in ASCII.
const LOCK_KEY: i64 = 0x006c_6574_7465_7273;
/// Dead letters of one transaction.
const BATCH: i64 = 1_000;
const DOING: &str = "deleting old dead letters";

/// Which dead letters are old.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// Those that were set aside longer ago than this,
    pub age: Duration,
    /// but not before they are mirrored, where they are.
    pub is_mirrored: bool,
}

/// Deletes old dead letters, a thousand at a time; says how many. None where another process is at it.
pub async fn expire(database: &DatabaseConfig, expiry: Expiry) -> Result<Option<u64>, StoreError> {
    let mut connection = connect(database, "sensorpipe retention").await?;
    let is_ours = takes(&mut connection, LOCK_KEY).await.map_err(StoreError::new(DOING))?;
    let expired = if is_ours { Some(expire_all(&mut connection, expiry).await?) } else { None };
    // The lock goes with the connection.
    connection.close().await.map_err(StoreError::new(DOING))?;
    Ok(expired)
}

async fn expire_all(connection: &mut PgConnection, expiry: Expiry) -> Result<u64, StoreError> {
    let mut expired = 0;
    loop {
        let Removed { letters, readings } =
            expire_some(connection, expiry).await.map_err(StoreError::new(DOING))?;
        Outcome::Expired.count(readings);
        expired += letters;
        if letters < BATCH.cast_unsigned() {
            return Ok(expired);
        }
    }
}

/// Dead letters are set aside nearly in the order of their ids, so the oldest are the first ones of the primary key: no
/// index on the time is needed, and one that stands behind a younger dead letter waits for it, for minutes at most.
/// Those that somebody is working through are left to them.
async fn expire_some(connection: &mut PgConnection, expiry: Expiry) -> Result<Removed, sqlx::Error> {
    let age_micros = i64::try_from(expiry.age.as_micros()).unwrap_or(i64::MAX);
    let mut transaction = connection.begin().await?;
    begin(&mut transaction).await?;
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM dead_letters
         WHERE id = ANY (ARRAY (SELECT id FROM dead_letters ORDER BY id LIMIT $1))
           AND received_at < now() - $2 * interval '1 microsecond' AND (mirrored_at IS NOT NULL OR NOT $3)
         ORDER BY id FOR UPDATE SKIP LOCKED",
    )
    .bind(BATCH)
    .bind(age_micros)
    .bind(expiry.is_mirrored)
    .fetch_all(&mut *transaction)
    .await?;
    let removed = remove(&mut transaction, &ids, Outcome::Expired).await?;
    transaction.commit().await?;
    Ok(removed)
}
