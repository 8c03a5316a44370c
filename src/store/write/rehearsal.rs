//! The write transaction without a reading: whether a batch could be written, before partitions are taken for it.
//!
//! Rights, rules, triggers and what else a server may refuse are not looked up, they are tried. Postgres checks the
//! rights of a statement before it looks for rows.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;

use super::WriterConfig;
use crate::{
    config::Rollups,
    log::DatabaseId,
    reading::OnDuplicate,
    store::{StoreError, connection::connect, database_identity, fitness},
};

/// Longest time that the trial may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A table that somebody changes is waited for no longer than this, for others would wait behind the trial.
const OFFSETS: &str = "
    BEGIN;
    SET LOCAL lock_timeout = '2s';
    SELECT partition, next_offset, topic_id, given_times, last_record FROM ingest_offsets
        WHERE cluster_id = '' AND topic = '' AND false FOR UPDATE;
    INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset)
        SELECT '', '', '', 0, 0, 0 WHERE false ON CONFLICT DO NOTHING;
    UPDATE ingest_offsets SET next_offset = next_offset, stored = stored, duplicates = duplicates,
        dead_lettered = dead_lettered, given_times = given_times, last_record = last_record, updated_at = now() WHERE false RETURNING partition;";
const SENSORS: &str = "SELECT sensor_id FROM sensors WHERE false ORDER BY sensor_id FOR KEY SHARE";
const DAYS: &str = "
    SELECT sensor_id, day, is_final FROM daily_stats WHERE false FOR UPDATE;
    DELETE FROM daily_stats WHERE false";
const READINGS: &str = "
    INSERT INTO sensor_data (sensor_id, value, time) SELECT 0, 0, now() WHERE false
        ON CONFLICT (sensor_id, time) DO NOTHING RETURNING sensor_id, time";
const OVERWRITTEN_READINGS: &str = "
    INSERT INTO sensor_data (sensor_id, value, time) SELECT 0, 0, now() WHERE false
        ON CONFLICT (sensor_id, time) DO UPDATE SET value = excluded.value RETURNING sensor_id, time, xmax = 0";
const DEAD_LETTERS: &str = r#"
    INSERT INTO dead_letters (topic, topic_id, partition, "offset", item, reason, detail, key, payload, headers,
                              record_time, reading_time, readings, items, untimed_items, reading_times)
        SELECT '', '', 0, 0, NULL, '', '', NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL WHERE false
        ON CONFLICT DO NOTHING"#;

/// Connects and does, with no rows, each statement that a batch may need; all of it is rolled back. Says which database it
/// was.
pub async fn try_writing(config: &WriterConfig) -> Result<DatabaseId, StoreError> {
    let trying = async {
        let mut connection = connect(&config.database, "sensorpipe trial").await?;
        fitness::check(&mut connection).await?;
        try_statements(&mut connection, config).await.map_err(StoreError::new("trying an empty write"))?;
        let id = database_identity::read(&mut connection).await?;
        connection.close().await.ok();
        Ok(id)
    };
    timeout(TIMEOUT, trying).await.map_err(StoreError::timed_out("trying an empty write"))?
}

async fn try_statements(connection: &mut PgConnection, config: &WriterConfig) -> Result<(), sqlx::Error> {
    connection.execute(OFFSETS).await?;
    connection.execute(SENSORS).await?;
    if config.rollups == Rollups::On {
        connection.execute(DAYS).await?;
    }
    let readings = match config.on_duplicate {
        OnDuplicate::Ignore => READINGS,
        OnDuplicate::Overwrite => OVERWRITTEN_READINGS,
    };
    connection.execute(readings).await?;
    connection.execute(DEAD_LETTERS).await?;
    connection.execute("ROLLBACK").await.map(drop)
}
