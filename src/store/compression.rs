//! Old chunks in columns, where the edition of TimescaleDB can.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use super::{StoreError, connection::connect};
use crate::config::DatabaseConfig;

/// What came of the wish to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// TimescaleDB's own policy does it from now on.
    Scheduled,
    /// The Apache edition cannot; chunks stay rows.
    NotInThisEdition,
}

/// Has chunks compressed that are older than `after`; a policy that is there with another age is replaced.
pub async fn compress_after(database: &DatabaseConfig, after: Duration) -> Result<Compression, StoreError> {
    let doing = "scheduling compression";
    let mut connection = connect(database, "sensorpipe migrate").await?;
    let is_able: bool = sqlx::query_scalar("SELECT current_setting('timescaledb.license') = 'timescale'")
        .fetch_one(&mut connection)
        .await
        .map_err(StoreError::new(doing))?;
    if is_able {
        schedule(&mut connection, after).await.map_err(StoreError::new(doing))?;
    }
    connection.close().await.map_err(StoreError::new(doing))?;
    Ok(if is_able { Compression::Scheduled } else { Compression::NotInThisEdition })
}

/// By sensor and time, as every query asks.
async fn schedule(connection: &mut PgConnection, after: Duration) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let is_enabled: bool = sqlx::query_scalar(
        "SELECT compression_enabled FROM timescaledb_information.hypertables
         WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass",
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !is_enabled {
        transaction
            .execute(
                "ALTER TABLE sensor_data SET (timescaledb.compress, timescaledb.compress_segmentby = 'sensor_id',
                                              timescaledb.compress_orderby = 'time')",
            )
            .await?;
    }
    transaction.execute("SELECT remove_compression_policy('sensor_data', if_exists => true)").await?;
    sqlx::query("SELECT add_compression_policy('sensor_data', compress_after => $1 * interval '1 second')")
        .bind(after.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
