//! Statistics of readings that others' SQL has changed.

use chrono::NaiveDate;
use sqlx::{Connection, Executor, PgConnection};

use super::{failed_days::FailedDays, fill, quarter_hours::roll_up_whole_day};
use crate::{
    config::{DatabaseConfig, RebuildConfig},
    store::{
        StoreError,
        connection::connect,
        day_locks::{LOCK_CLASS, LOCK_SLOTS},
    },
};

/// A connection of `sensorpipe stats`.
pub struct StatsStore {
    connection: PgConnection,
}

/// What `stats rebuild` did.
#[derive(Debug)]
pub struct Rebuilt {
    /// Days of sensors that were kept before.
    pub forgotten: usize,
    /// Those of them that are kept again; the others have no readings any more, are being written, or failed.
    pub kept: usize,
    /// Those that could not be computed or kept again.
    pub failed: FailedDays,
}

impl StatsStore {
    /// Connects.
    pub async fn connect(database: &DatabaseConfig) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(database, "sensorpipe stats").await? })
    }

    /// Forgets what is kept of these sensors and days, and computes it anew. Days whose readings retention has
    /// dropped stay as they are; one that fails stays forgotten, and the others go on.
    pub async fn rebuild(&mut self, which: &RebuildConfig) -> Result<Rebuilt, StoreError> {
        let forgotten = self.forget(which).await.map_err(StoreError::new("forgetting daily statistics"))?;
        let (mut kept, mut failed) = (0, FailedDays::default());
        for &(sensor_id, day) in &forgotten {
            let outcome = self.keep(sensor_id, day).await;
            kept += usize::from(failed.take(sensor_id, day, outcome)?);
        }
        Ok(Rebuilt { forgotten: forgotten.len(), kept, failed })
    }

    /// Whether the day is kept now.
    async fn keep(&mut self, sensor_id: i32, day: NaiveDate) -> Result<bool, StoreError> {
        let is_kept = fill::keep(&mut self.connection, sensor_id, day).await?;
        if is_kept {
            roll_up_whole_day(&mut self.connection, sensor_id, day)
                .await
                .map_err(StoreError::new("keeping quarter-hours"))?;
        }
        Ok(is_kept)
    }

    /// The locks of all days are waited for: whoever is computing a row now may not have seen the change.
    async fn forget(&mut self, which: &RebuildConfig) -> Result<Vec<(i32, NaiveDate)>, sqlx::Error> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock_shared($1, slot) FROM generate_series(0, $2 - 1) AS slot")
            .bind(LOCK_CLASS)
            .bind(LOCK_SLOTS)
            .execute(&mut *transaction)
            .await?;
        let forgotten = sqlx::query_as(
            "DELETE FROM daily_stats WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM daily_stats
                 WHERE NOT is_final AND ($1 = '{}'::int[] OR sensor_id = ANY ($1))
                   AND day >= coalesce($2::date, '-infinity')
                 ORDER BY sensor_id, day FOR UPDATE))
             RETURNING sensor_id, day",
        )
        .bind(&which.sensors)
        .bind(which.since)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(forgotten)
    }

    /// Installs the trigger that does for any SQL what workers do for their batches.
    pub async fn install_trigger(&mut self) -> Result<(), StoreError> {
        let doing = "installing the trigger";
        // What runs as its owner names its tables in full, and looks into the caller's temporary schema last.
        let (path, daily_stats): (String, String) = sqlx::query_as(
            "SELECT concat_ws(', ', 'pg_catalog', string_agg(quote_ident(schema), ', '), 'pg_temp'),
                    (SELECT format('%I.%I', nspname, relname)
                     FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                     WHERE pg_class.oid = 'daily_stats'::regclass)
             FROM unnest(current_schemas(false)) AS schema WHERE schema <> 'pg_catalog'",
        )
        .fetch_one(&mut self.connection)
        .await
        .map_err(StoreError::new(doing))?;
        let sql = include_str!("reopen_day.sql")
            .replace("{PATH}", &path)
            .replace("{DAILY_STATS}", &daily_stats)
            .replace("{LOCK_CLASS}", &LOCK_CLASS.to_string())
            .replace("{LOCK_SLOTS}", &LOCK_SLOTS.to_string());
        self.connection.execute(sql.as_str()).await.map_err(StoreError::new(doing))?;
        Ok(())
    }

    /// Takes the trigger away, if it is there.
    pub async fn remove_trigger(&mut self) -> Result<(), StoreError> {
        self.connection
            .execute(
                "DROP TRIGGER IF EXISTS sensorpipe_reopen_day ON sensor_data;
                 DROP TRIGGER IF EXISTS sensorpipe_reopen_all_days ON sensor_data;
                 DROP FUNCTION IF EXISTS sensorpipe_reopen_day();
                 DROP FUNCTION IF EXISTS sensorpipe_reopen_all_days()",
            )
            .await
            .map_err(StoreError::new("removing the trigger"))?;
        Ok(())
    }
}
