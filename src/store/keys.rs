//! The table of API keys: made and revoked by `sensorpipe keys`, read by the api again and again.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{
    ConnectError, StoreError,
    error::Remedy,
    pool::{LOOK_UP_TIMEOUT, Pool},
    startup::{COMMAND_PATIENCE, connect_within},
};
use crate::{
    access::{Scope, Scopes, TokenHash, TokenId},
    config::DatabaseConfig,
};

/// Most keys that hold at a time: each has a place in the api's memory and metrics of its own.
pub const KEYS_MAX: i64 = 1_000;

const UNDEFINED_TABLE: &str = "42P01";

/// A key as it is stored: everything but its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// What people and metrics call it; unique among those that hold.
    pub name: String,
    /// Finds it.
    pub token_id: TokenId,
    /// Proves it.
    pub token_hash: TokenHash,
    /// What it allows.
    pub scopes: Scopes,
    /// Most requests in a second; no bound where none.
    pub requests_per_second: Option<NonZeroU32>,
}

/// A key as `sensorpipe keys list` shows it.
#[derive(Clone, Debug)]
pub struct ListedKey {
    /// The key.
    pub key: StoredKey,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What the api has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredKeys {
    /// Whether there was ever a key: from then on keys are demanded, even where all are revoked.
    pub were_made: bool,
    /// Those that hold.
    pub keys: Vec<StoredKey>,
}

/// Why a key cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    /// Another one has the name.
    #[error("there is a key {0} already: revoke it first, or take another name")]
    NameTaken(String),
    /// The bound is reached.
    #[error("there are {KEYS_MAX} keys already, which is the most: revoke some first")]
    TooMany,
    /// Postgres said something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads what the api has to know, in one query. A schema from before there were keys has none.
pub async fn read(pool: &Pool) -> Result<StoredKeys, StoreError> {
    // One row with nothing in it where no key holds.
    const SQL: &str = "SELECT EXISTS (SELECT FROM api_keys) AS were_made, name, token_id, token_hash, scopes,
               requests_per_second
        FROM (VALUES (1)) AS one LEFT JOIN api_keys ON revoked_at IS NULL
        ORDER BY key_id LIMIT $1";
    let rows = pool
        .run_within(LOOK_UP_TIMEOUT, "reading the API keys", |connection| {
            Box::pin(async move {
                let rows: Vec<PgRow> = sqlx::query(SQL).bind(KEYS_MAX).fetch_all(connection).await?;
                let were_made = rows.first().map_or(Ok(false), |row| row.try_get("were_made"))?;
                let mut keys = Vec::with_capacity(rows.len());
                for row in &rows {
                    if row.try_get::<Option<&str>, _>("name")?.is_some() {
                        keys.push(stored_key(row)?);
                    }
                }
                Ok(StoredKeys { were_made, keys })
            })
        })
        .await;
    match rows {
        Err(error) if error.sqlstate().as_deref() == Some(UNDEFINED_TABLE) => Ok(StoredKeys::default()),
        rows => rows,
    }
}

fn stored_key(row: &PgRow) -> Result<StoredKey, sqlx::Error> {
    let requests_per_second: Option<i32> = row.try_get("requests_per_second")?;
    let scopes: Vec<String> = row.try_get("scopes")?;
    let no_such_value = |column: &str| sqlx::Error::Decode(format!("{column} has another form").into());
    Ok(StoredKey {
        name: row.try_get("name")?,
        token_id: TokenId::parse(row.try_get("token_id")?).ok_or_else(|| no_such_value("token_id"))?,
        token_hash: TokenHash::parse(row.try_get("token_hash")?)
            .ok_or_else(|| no_such_value("token_hash"))?,
        scopes: Scopes::named(scopes.iter().map(String::as_str)),
        requests_per_second: requests_per_second
            .and_then(|rate| u32::try_from(rate).ok())
            .and_then(NonZeroU32::new),
    })
}

/// The connection of `sensorpipe keys`.
pub struct KeyStore {
    connection: PgConnection,
}

impl KeyStore {
    /// Connects; waits up to 10 s for Postgres to come up.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, ConnectError> {
        let connection = connect_within(COMMAND_PATIENCE, database, "sensorpipe keys").await?;
        Ok(Self { connection })
    }

    /// Adds a key.
    pub async fn create(&mut self, key: &StoredKey) -> Result<(), CreateKeyError> {
        const SQL: &str = "INSERT INTO api_keys (name, token_id, token_hash, scopes, requests_per_second)
             SELECT $1, $2, $3, $4, $5
             WHERE (SELECT count(*) FROM api_keys WHERE revoked_at IS NULL) < $6";
        let scopes: Vec<&str> = key.scopes.iter().map(Scope::as_str).collect();
        let inserted = sqlx::query(SQL)
            .bind(&key.name)
            .bind(key.token_id.as_str())
            .bind(key.token_hash.as_bytes())
            .bind(scopes)
            .bind(key.requests_per_second.map(|rate| i32::try_from(rate.get()).unwrap_or(i32::MAX)))
            .bind(KEYS_MAX)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::new("adding the key"));
        match inserted {
            Ok(result) if result.rows_affected() == 1 => Ok(()),
            Ok(_) => Err(CreateKeyError::TooMany),
            Err(error) if error.remedy() == Remedy::UniqueViolation => {
                Err(CreateKeyError::NameTaken(key.name.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Every key that holds, and with `revoked` also those that did, oldest first.
    pub async fn list(&mut self, revoked: bool) -> Result<Vec<ListedKey>, StoreError> {
        const SQL: &str =
            "SELECT name, token_id, token_hash, scopes, requests_per_second, created_at, revoked_at
            FROM api_keys WHERE revoked_at IS NULL OR $1 ORDER BY key_id";
        let listed = |row: &PgRow| {
            Ok(ListedKey {
                key: stored_key(row)?,
                created_at: row.try_get("created_at")?,
                revoked_at: row.try_get("revoked_at")?,
            })
        };
        let rows = sqlx::query(SQL).bind(revoked).fetch_all(&mut self.connection).await;
        rows.and_then(|rows| rows.iter().map(listed).collect()).map_err(StoreError::new("listing the keys"))
    }

    /// Ends the key of this name; whether there was one.
    pub async fn revoke(&mut self, name: &str) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE api_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL";
        let revoked = sqlx::query(SQL)
            .bind(name)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::new("revoking the key"))?;
        Ok(revoked.rows_affected() > 0)
    }
}
