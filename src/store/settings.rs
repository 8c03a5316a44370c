//! The table of shared settings: written by `migrate` and `sensorpipe settings`, read by every process.

use std::time::Duration;

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{
    ConnectError, StoreError,
    pool::{LOOK_UP_TIMEOUT, Pool},
    startup::connect_within,
};
use crate::config::{DatabaseConfig, Setting, StoredValue};

/// How long is waited for Postgres to come up.
const STARTUP_PATIENCE: Duration = Duration::from_secs(10);
const UNDEFINED_TABLE: &str = "42P01";
const READ: &str = "SELECT name, value, set_at, set_by FROM sensorpipe_settings ORDER BY name";

/// What the database has; none where its schema is from before there was the table.
pub async fn read(pool: &Pool) -> Result<Option<Vec<StoredValue>>, StoreError> {
    let rows = pool.run_within(LOOK_UP_TIMEOUT, "reading the settings", |connection| {
        Box::pin(async move { stored_values(&sqlx::query(READ).fetch_all(connection).await?) })
    });
    where_there_is_a_table(rows.await)
}

fn where_there_is_a_table(
    read: Result<Vec<StoredValue>, StoreError>,
) -> Result<Option<Vec<StoredValue>>, StoreError> {
    match read {
        Err(error) if error.sqlstate().as_deref() == Some(UNDEFINED_TABLE) => Ok(None),
        read => read.map(Some),
    }
}

fn stored_values(rows: &[PgRow]) -> Result<Vec<StoredValue>, sqlx::Error> {
    let stored = |row: &PgRow| {
        Ok(StoredValue {
            name: row.try_get("name")?,
            value: row.try_get("value")?,
            set_at: row.try_get("set_at")?,
            set_by: row.try_get("set_by")?,
        })
    };
    rows.iter().map(stored).collect()
}

/// The connection of those who change them, or read them once.
pub struct SettingsStore {
    connection: PgConnection,
}

impl SettingsStore {
    /// Connects; waits up to 10 s for Postgres to come up.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, ConnectError> {
        let connection = connect_within(STARTUP_PATIENCE, database, "sensorpipe settings").await?;
        Ok(Self { connection })
    }

    /// See [`read`].
    pub async fn read(&mut self) -> Result<Option<Vec<StoredValue>>, StoreError> {
        let rows = sqlx::query(READ).fetch_all(&mut self.connection).await;
        where_there_is_a_table(
            rows.and_then(|rows| stored_values(&rows)).map_err(StoreError::new("reading the settings")),
        )
    }

    /// Stores values, in canonical form; one that is the same already stays as it is, with who set it.
    pub async fn set<'v>(
        &mut self,
        values: impl IntoIterator<Item = (Setting, &'v str)>,
        by: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO sensorpipe_settings AS stored (name, value, set_by)
             SELECT name, value, $3 FROM unnest($1::text[], $2::text[]) AS given (name, value)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_at = now(), set_by = excluded.set_by
             WHERE stored.value <> excluded.value";
        self.store(SQL, values, by).await
    }

    /// Stores those that the database has no value of.
    pub async fn set_missing<'v>(
        &mut self,
        values: impl IntoIterator<Item = (Setting, &'v str)>,
        by: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO sensorpipe_settings (name, value, set_by)
             SELECT name, value, $3 FROM unnest($1::text[], $2::text[]) AS given (name, value)
             ON CONFLICT (name) DO NOTHING";
        self.store(SQL, values, by).await
    }

    async fn store<'v>(
        &mut self,
        sql: &'static str,
        values: impl IntoIterator<Item = (Setting, &'v str)>,
        by: &str,
    ) -> Result<(), StoreError> {
        let (names, values): (Vec<&str>, Vec<&str>) =
            values.into_iter().map(|(setting, value)| (setting.name(), value)).unzip();
        if names.is_empty() {
            return Ok(());
        }
        let stored = sqlx::query(sql).bind(names).bind(values).bind(by).execute(&mut self.connection).await;
        stored.map(drop).map_err(StoreError::new("storing the settings"))
    }

    /// Forgets the values of these.
    pub async fn reset(&mut self, settings: &[Setting]) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM sensorpipe_settings WHERE name = ANY ($1)";
        let names: Vec<&str> = settings.iter().map(|setting| setting.name()).collect();
        let deleted = sqlx::query(SQL).bind(names).execute(&mut self.connection).await;
        deleted.map(drop).map_err(StoreError::new("resetting the settings"))
    }
}
