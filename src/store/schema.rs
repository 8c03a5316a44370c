//! The schema: brought up to date by `migrate`, waited for by everybody else.

use std::{collections::HashSet, time::Duration};

use sqlx::{
    Connection, Executor, PgConnection,
    migrate::{Migrate, MigrateError, Migrator},
};
use tokio::time::{Instant, sleep};

use super::{
    ConnectError, StoreError, Unfit, fitness,
    startup::{STARTUP_PATIENCE, connect_within},
};
use crate::config::{DatabaseConfig, GivenSettings, SchemaConfig};

const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long a migration waits for a lock, while everybody else waits behind it.
const LOCK_TIMEOUT: &str = "60s";

/// SQLSTATE that the migrations raise for tables that have our names and are not ours.
const FOREIGN_TABLES: &str = "SP001";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const UNDEFINED_TABLE: &str = "42P01";

/// What `migrate` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that were applied now, in order.
    pub applied: Vec<String>,
    /// Tables made by hand were there and are used from now on.
    pub adopted: bool,
    /// The database has migrations that this binary does not know: a newer one made them.
    pub is_newer: bool,
    /// Indexes that were dropped because that was asked for.
    pub dropped_indexes: Vec<String>,
}

/// Why the schema is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Tables of our names that hold something else; nothing was changed.
    #[error(
        "this database has tables named sensors or sensor_data that cannot be adopted, nothing was changed: {0}"
    )]
    ForeignTables(String),
    /// The role may not do what a migration needs.
    #[error(
        "the role that migrates needs the right to create tables and the extension timescaledb, and owns the \
         tables that are there (instead of the second, a superuser may run CREATE EXTENSION timescaledb first)"
    )]
    Privilege(#[source] StoreError),
    /// A migration that was applied is not the one that this binary carries.
    #[error("the database's migrations are not this binary's")]
    Diverged(#[source] MigrateError),
    /// Migrations that this binary needs are not there.
    #[error("the schema is not up to date after {} s: run `sensorpipe migrate` (missing: {})", waited.as_secs(), missing.join(", "))]
    NotMigrated {
        /// For how long it was waited for.
        waited: Duration,
        /// Names of the missing migrations.
        missing: Vec<String>,
    },
    /// The database must not be written to.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Anything else that the database said.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// As [`migrate_with`], of an installation that is given no shared settings.
pub async fn migrate(database: &DatabaseConfig, schema: &SchemaConfig) -> Result<Migrated, SchemaError> {
    migrate_with(database, schema, &GivenSettings::default()).await
}

/// Creates, adopts or updates the schema; waits up to 30 s for Postgres to come up. The migration that makes the table of
/// settings stores those that are `given`, so that nobody finds the table without them.
///
/// Safe from many places at once: an advisory lock lets one migrate and shows the others that it is done.
pub async fn migrate_with(
    database: &DatabaseConfig,
    schema: &SchemaConfig,
    given: &GivenSettings,
) -> Result<Migrated, SchemaError> {
    let mut connection = connect_within(STARTUP_PATIENCE, database, "sensorpipe migrate").await?;
    match fitness::find_unfit(&mut connection).await? {
        // Tables made by hand are the migrations' affair: they name each difference.
        None | Some(Unfit::ColumnType { .. }) => {}
        Some(unfit) => return Err(unfit.into()),
    }
    let migrated = migrate_on(&mut connection, schema, given).await;
    // Closing gives back the advisory lock after a failure, too.
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the connection that migrated did not close cleanly");
    }
    migrated
}

async fn migrate_on(
    connection: &mut PgConnection,
    schema: &SchemaConfig,
    given: &GivenSettings,
) -> Result<Migrated, SchemaError> {
    let given: serde_json::Map<String, serde_json::Value> =
        given.values().map(|(setting, value)| (setting.name().to_owned(), value.into())).collect();
    // NOTICEs and TimescaleDB's multi-line greeting tell an operator nothing.
    sqlx::query(
        "SELECT set_config('client_min_messages', 'error', false), set_config('lock_timeout', $1, false), \
         set_config('sensorpipe.chunk_interval', $2, false), set_config('sensorpipe.settings', $3, false)",
    )
    .bind(LOCK_TIMEOUT)
    .bind(format!("{} microseconds", schema.chunk_interval.as_micros()))
    .bind(serde_json::Value::from(given).to_string())
    .execute(&mut *connection)
    .await
    .map_err(StoreError::new("preparing to migrate"))?;

    // Held around the look before and after, so that what is reported is what this process did.
    connection.lock().await.map_err(schema_error)?;
    let before = applied_versions(connection).await?;
    let had_tables: bool = sqlx::query_scalar(
        "SELECT to_regclass('sensors') IS NOT NULL OR to_regclass('sensor_data') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(StoreError::new("looking for tables made by hand"))?;
    let migrator = migrator();
    migrator.run_direct(connection).await.map_err(schema_error)?;
    let dropped_indexes = if schema.drop_time_index { drop_time_indexes(connection).await? } else { vec![] };
    connection.unlock().await.map_err(schema_error)?;
    if let Some(unfit) = fitness::find_unfit(connection).await? {
        return Err(unfit.into());
    }

    let known: HashSet<i64> = migrator.iter().map(|migration| migration.version).collect();
    Ok(Migrated {
        applied: names_missing_from(&before),
        adopted: had_tables && before.is_empty(),
        is_newer: before.iter().any(|version| !known.contains(version)),
        dropped_indexes,
    })
}

/// Drops plain indexes on `time` and nothing else; returns their names.
async fn drop_time_indexes(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let doing = "dropping the index on time";
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT indexrelid::regclass::text FROM pg_index
         JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
         WHERE indrelid = 'sensor_data'::regclass AND indnatts = 1 AND NOT indisunique AND indpred IS NULL
           AND attname = 'time'",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(StoreError::new(doing))?;
    for name in &names {
        // As the database itself quotes it.
        let statement = format!("DROP INDEX {name}");
        connection.execute(statement.as_str()).await.map_err(StoreError::new(doing))?;
    }
    Ok(names)
}

/// Waits until every migration that this binary carries is applied; a newer schema is fine.
///
/// For the roles that do not migrate, so that they may start in any order.
pub async fn wait_for_schema(database: &DatabaseConfig, patience: Duration) -> Result<(), SchemaError> {
    let deadline = Instant::now() + patience;
    let mut connection = connect_within(patience, database, "sensorpipe start").await?;
    let mut is_first_look = true;
    loop {
        let looked = applied_versions(&mut connection).await;
        let is_last_look = Instant::now() + RETRY_INTERVAL > deadline;
        match looked.map(|applied| names_missing_from(&applied)) {
            Ok(missing) if missing.is_empty() => break,
            Ok(missing) if is_last_look => {
                return Err(SchemaError::NotMigrated { waited: patience, missing });
            }
            Ok(missing) => {
                if std::mem::take(&mut is_first_look) {
                    tracing::info!(
                        ?missing,
                        "waiting for `sensorpipe migrate` to bring the schema up to date"
                    );
                }
                sleep(RETRY_INTERVAL).await;
            }
            Err(error) if error.is_retriable() && !is_last_look => {
                sleep(RETRY_INTERVAL).await;
                let patience_left = deadline.saturating_duration_since(Instant::now());
                connection = connect_within(patience_left, database, "sensorpipe start").await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    connection.close().await.map_err(StoreError::new("closing the connection that looked at the schema"))?;
    Ok(())
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    // Migrations only add what older binaries can live with: one of them finding a newer schema is no error.
    migrator.set_ignore_missing(true);
    migrator
}

/// The names of our migrations that are not among `applied`.
fn names_missing_from(applied: &HashSet<i64>) -> Vec<String> {
    migrator()
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect()
}

async fn applied_versions(connection: &mut PgConnection) -> Result<HashSet<i64>, StoreError> {
    let versions = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(connection)
        .await
        .map_err(StoreError::new("reading the schema's version"));
    match versions {
        Ok(versions) => Ok(versions.into_iter().collect()),
        Err(error) if error.sqlstate().as_deref() == Some(UNDEFINED_TABLE) => Ok(HashSet::new()),
        Err(error) => Err(error),
    }
}

fn schema_error(error: MigrateError) -> SchemaError {
    let source = match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source,
        other => return SchemaError::Diverged(other),
    };
    let error = StoreError::new("migrating the schema")(source);
    match error.sqlstate().as_deref() {
        Some(FOREIGN_TABLES) => SchemaError::ForeignTables(error.server_message()),
        Some(INSUFFICIENT_PRIVILEGE) => SchemaError::Privilege(error),
        _ => SchemaError::Store(error),
    }
}
