//! Whether a database may be written to at all: what is stored where it may not would be lost, or would not be seen.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{SchemaError, StoreError, startup::connect_within};
use crate::config::DatabaseConfig;

/// How often a database that will be fit again, as after a restore, is looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Why nothing may be written, and the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Rows would go into the hypertable's root, where no query looks for them.
    #[error(
        "the database is being restored (timescaledb.restoring is on): run `SELECT timescaledb_post_restore()` in it \
         once the restore is complete"
    )]
    Restoring,
    /// A replica.
    #[error("the server is a standby (in recovery): DATABASE_URL must lead to the primary")]
    Standby,
    /// Somebody, mostly the provider, has made it so.
    #[error(
        "the database is read-only (default_transaction_read_only is on): once the reason is gone, often a full disk, run \
         `SET default_transaction_read_only = off; ALTER DATABASE … RESET default_transaction_read_only`"
    )]
    ReadOnly,
    /// The extension's own bug: a conflict in one compressed chunk ends an `INSERT … ON CONFLICT DO NOTHING`, and the
    /// rows after it are dropped without a word (timescale/timescaledb#7673).
    #[error(
        "TimescaleDB {0} loses rows on conflicts (fixed in 2.18.1): run `ALTER EXTENSION timescaledb UPDATE`"
    )]
    LosesRows(String),
    /// What is written in binary form has to have the very type.
    #[error("the type of {column} was changed to {actual}: change it back to {expected}")]
    ColumnType {
        /// With its table.
        column: String,
        /// As it is.
        actual: String,
        /// As `migrate` made it.
        expected: String,
    },
    /// A pooler keeps a session for a transaction only, and what is done here needs one.
    #[error(
        "a pooler in front of Postgres gives the session away after each transaction (pool_mode = transaction), and only \
         `api` can do without one: give DATABASE_URL the direct address of Postgres (of Neon: the host without `-pooler`), \
         or set pool_mode = session"
    )]
    NoSession,
    /// The same, where not even prepared statements are kept.
    #[error(
        "a pooler in front of Postgres keeps neither sessions nor prepared statements: give DATABASE_URL the direct address \
         of Postgres, or set pool_mode = session, or, for `api`, max_prepared_statements (PgBouncer 1.21 or later)"
    )]
    NoStatements,
    /// Nothing tells a reading that is there already from a new one.
    #[error(
        "sensor_data has no primary key or unique index on (sensor_id, time) alone that is checked at once: run \
         `ALTER TABLE sensor_data ADD PRIMARY KEY (sensor_id, time)`"
    )]
    NoKey,
}

/// Whether `sensor_data` tells equal readings apart, in SQL; true also where there is no such table yet.
pub(super) const HAS_KEY: &str = "(to_regclass('sensor_data') IS NULL OR EXISTS (
    SELECT FROM pg_index
    WHERE indrelid = to_regclass('sensor_data') AND indisunique AND indimmediate AND indisvalid
      AND indpred IS NULL AND indexprs IS NULL AND indnkeyatts = 2
      AND (SELECT array_agg(attname ORDER BY attname) FROM pg_attribute
           WHERE attrelid = indrelid AND attnum = ANY (indkey::int2[])) = ARRAY['sensor_id', 'time']::name[]))";

impl Unfit {
    /// Whether it may pass without a new start of this process.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Restoring | Self::Standby | Self::ReadOnly => true,
            Self::LosesRows(_)
            | Self::ColumnType { .. }
            | Self::NoSession
            | Self::NoStatements
            | Self::NoKey => false,
        }
    }
}

/// What is looked at.
#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is one question to the server")]
struct Server {
    is_restoring: bool,
    is_standby: bool,
    is_read_only: bool,
    timescaledb: Option<String>,
    changed_column: Option<Vec<String>>,
    has_key: bool,
}

/// Asks whether the database may be written to.
///
/// A restore that began after this session did shows in the catalog alone. Columns are compared with the types that the
/// write path sends and reads in binary form; those that are not there yet are the migrations' affair.
pub(super) async fn ask(connection: &mut PgConnection) -> Result<Option<Unfit>, sqlx::Error> {
    let sql = format!(
        "SELECT {HAS_KEY} AS has_key,
                coalesce(nullif(current_setting('timescaledb.restoring', true), '')::boolean, false)
                OR EXISTS (SELECT FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
                           WHERE datname = current_database() AND setrole = 0
                             AND setconfig && ARRAY['timescaledb.restoring=on', 'timescaledb.restoring=true'])
                AS is_restoring,
                pg_is_in_recovery() AS is_standby,
                current_setting('transaction_read_only')::boolean AS is_read_only,
                (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb,
                (SELECT ARRAY[ours.relation || '.' || ours.name, format_type(atttypid, atttypmod), ours.type]
                 FROM (VALUES ('sensor_data', 'sensor_id', 'integer'),
                              ('sensor_data', 'value', 'double precision'),
                              ('sensor_data', 'time', 'timestamp with time zone'),
                              ('sensors', 'sensor_id', 'integer'),
                              ('ingest_offsets', 'partition', 'integer'),
                              ('ingest_offsets', 'next_offset', 'bigint'),
                              ('ingest_offsets', 'stored', 'bigint'),
                              ('ingest_offsets', 'duplicates', 'bigint'),
                              ('ingest_offsets', 'dead_lettered', 'bigint'),
                              ('dead_letters', 'partition', 'integer'),
                              ('dead_letters', 'offset', 'bigint'),
                              ('dead_letters', 'payload', 'bytea')) AS ours (relation, name, type)
                 JOIN pg_attribute ON attrelid = to_regclass(ours.relation) AND attname = ours.name
                 WHERE NOT attisdropped AND atttypid <> ours.type::regtype
                 ORDER BY 1 LIMIT 1) AS changed_column"
    );
    let server: Server = sqlx::query_as(&sql).fetch_one(connection).await?;
    Ok(server.unfit())
}

/// The same, with what was being done where there is no answer.
pub(super) async fn find_unfit(connection: &mut PgConnection) -> Result<Option<Unfit>, StoreError> {
    ask(connection).await.map_err(StoreError::new("looking whether the database may be written to"))
}

/// The same, where it may not as an error.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), StoreError> {
    find_unfit(connection).await?.map_or(Ok(()), |unfit| Err(StoreError::unfit(unfit)))
}

/// Waits until the database may be written to; what does not pass by itself is said at once.
pub async fn wait_until_fit(database: &DatabaseConfig, patience: Duration) -> Result<(), SchemaError> {
    let deadline = Instant::now() + patience;
    let mut is_first_look = true;
    loop {
        // Settings of the database and the role are those of the moment of connecting.
        let patience_left = deadline.saturating_duration_since(Instant::now());
        let mut connection = connect_within(patience_left, database, "sensorpipe start").await?;
        let unfit = find_unfit(&mut connection).await;
        connection.close().await.ok();
        let reason = match unfit {
            Ok(None) => return Ok(()),
            Ok(Some(unfit)) if !unfit.may_pass() => return Err(unfit.into()),
            Ok(Some(unfit)) => SchemaError::Unfit(unfit),
            Err(error) if !error.is_retriable() => return Err(error.into()),
            Err(error) => error.into(),
        };
        if Instant::now() + CHECK_INTERVAL > deadline {
            return Err(reason);
        }
        if std::mem::take(&mut is_first_look) {
            tracing::warn!(
                "waiting up to {} s for a database that may be written to: {reason}",
                patience.as_secs()
            );
        }
        sleep(CHECK_INTERVAL).await;
    }
}

impl Server {
    fn unfit(self) -> Option<Unfit> {
        if self.is_restoring {
            return Some(Unfit::Restoring);
        }
        if self.is_standby {
            return Some(Unfit::Standby);
        }
        if self.is_read_only {
            return Some(Unfit::ReadOnly);
        }
        if let Some(version) = self.timescaledb.filter(|version| loses_rows(version)) {
            return Some(Unfit::LosesRows(version));
        }
        if let Some(Ok([column, actual, expected])) = self.changed_column.map(<[String; 3]>::try_from) {
            return Some(Unfit::ColumnType { column, actual, expected });
        }
        (!self.has_key).then_some(Unfit::NoKey)
    }
}

/// Versions with timescale/timescaledb#7673.
fn loses_rows(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok);
    matches!((next(), next(), next()), (Some(2), Some(17), _) | (Some(2), Some(18), Some(0) | None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lose_rows_are_known() {
        for version in ["2.17.0", "2.17.1", "2.17.2", "2.18.0", "2.18.0-dev"] {
            assert!(loses_rows(version), "{version}");
        }
        for version in ["2.13.0", "2.16.1", "2.18.1", "2.18.2", "2.19.3", "3.17.0", ""] {
            assert!(!loses_rows(version), "{version}");
        }
    }

    #[test]
    fn what_hides_rows_comes_first_and_what_lasts_is_told_apart() {
        let server = |is_restoring, is_standby, is_read_only| Server {
            is_restoring,
            is_standby,
            is_read_only,
            timescaledb: Some("2.17.1".to_owned()),
            changed_column: None,
            has_key: true,
        };
        // A standby is read-only as well, and the cure is another one.
        assert_eq!(server(false, true, true).unfit(), Some(Unfit::Standby));
        assert_eq!(server(true, false, true).unfit(), Some(Unfit::Restoring));
        assert!(server(false, false, true).unfit().is_some_and(|unfit| unfit.may_pass()));
        let lasting = server(false, false, false).unfit().unwrap();
        assert!(!lasting.may_pass() && lasting.to_string().contains("2.17.1"), "{lasting}");
    }
}
