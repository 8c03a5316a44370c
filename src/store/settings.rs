//! The table of shared settings: written by `migrate` and `sensorpipe settings`, read by every process.

use sqlx::{Connection as _, FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    ConnectError, StoreError,
    pool::{LOOK_UP_TIMEOUT, Pool},
    startup::{COMMAND_PATIENCE, connect_within},
};
use crate::config::{DatabaseConfig, Setting, StoredValue};

const UNDEFINED_TABLE: &str = "42P01";
const STORING: &str = "storing the settings";
const READ: &str = "SELECT name, value, set_at, set_by FROM sensorpipe_settings ORDER BY name";

/// What the database has; none where its schema is from before there was the table.
pub async fn read(pool: &Pool) -> Result<Option<Vec<StoredValue>>, StoreError> {
    let rows = pool.run_within(LOOK_UP_TIMEOUT, "reading the settings", |connection| {
        Box::pin(sqlx::query_as(READ).fetch_all(connection))
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

impl FromRow<'_, PgRow> for StoredValue {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            value: row.try_get("value")?,
            set_at: row.try_get("set_at")?,
            set_by: row.try_get("set_by")?,
        })
    }
}

/// The connection of those who change them, or read them once.
pub struct SettingsStore {
    connection: PgConnection,
}

impl SettingsStore {
    /// Connects; waits as long as a command does for Postgres to come up.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, ConnectError> {
        let connection = connect_within(COMMAND_PATIENCE, database, "sensorpipe settings").await?;
        Ok(Self { connection })
    }

    /// See [`read`].
    pub async fn read(&mut self) -> Result<Option<Vec<StoredValue>>, StoreError> {
        let stored = sqlx::query_as(READ).fetch_all(&mut self.connection).await;
        where_there_is_a_table(stored.map_err(StoreError::new("reading the settings")))
    }

    /// Stores values, in canonical form; one that is the same already stays as it is, with who set it. Returns the names
    /// of those that changed. `by` is the session's role where nobody is named.
    pub async fn set<'v>(
        &mut self,
        values: impl IntoIterator<Item = (Setting, &'v str)>,
        by: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "INSERT INTO sensorpipe_settings AS stored (name, value, set_by)
             SELECT name, value, coalesce($3, session_user) FROM unnest($1::text[], $2::text[]) AS given (name, value)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_at = now(), set_by = excluded.set_by
             WHERE stored.value <> excluded.value
             RETURNING name";
        let (names, values) = columns(values);
        let changed = sqlx::query_scalar(SQL).bind(names).bind(values).bind(by);
        changed.fetch_all(&mut self.connection).await.map_err(StoreError::new(STORING))
    }

    /// Stores those that the database has no value of, if `resolve` accepts what it has then, and else nothing.
    pub async fn set_missing<'v, T, E>(
        &mut self,
        values: impl IntoIterator<Item = (Setting, &'v str)>,
        by: &str,
        resolve: impl FnOnce(&[StoredValue]) -> Result<T, E>,
    ) -> Result<Result<T, E>, StoreError> {
        const SQL: &str = "INSERT INTO sensorpipe_settings (name, value, set_by)
             SELECT name, value, $3 FROM unnest($1::text[], $2::text[]) AS given (name, value)
             ON CONFLICT (name) DO NOTHING";
        let (names, values) = columns(values);
        let storing = async {
            let mut transaction = self.connection.begin().await?;
            sqlx::query(SQL).bind(names).bind(values).bind(by).execute(&mut *transaction).await?;
            let stored: Vec<StoredValue> = sqlx::query_as(READ).fetch_all(&mut *transaction).await?;
            let resolved = resolve(&stored);
            match resolved {
                Ok(_) => transaction.commit().await?,
                Err(_) => transaction.rollback().await?,
            }
            Ok(resolved)
        };
        storing.await.map_err(StoreError::new(STORING))
    }

    /// Forgets the values of these. Returns the names of those that had one.
    pub async fn reset(&mut self, settings: &[Setting]) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "DELETE FROM sensorpipe_settings WHERE name = ANY ($1) RETURNING name";
        let names: Vec<&str> = settings.iter().map(|setting| setting.name()).collect();
        let deleted = sqlx::query_scalar(SQL).bind(names).fetch_all(&mut self.connection).await;
        deleted.map_err(StoreError::new("resetting the settings"))
    }
}

fn columns<'v>(values: impl IntoIterator<Item = (Setting, &'v str)>) -> (Vec<&'static str>, Vec<&'v str>) {
    values.into_iter().map(|(setting, value)| (setting.name(), value)).unzip()
}
