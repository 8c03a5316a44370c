//! What the load generator does in the database: adds sensors, watches offsets, checks what was stored.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};

use super::{ConnectError, StoreError, startup::connect_within};
use crate::{
    batch::Tally,
    config::DatabaseConfig,
    load::{CHECKSUM_MODULUS, CHECKSUM_SENSOR_FACTOR, Expected, Found},
    log::Log,
};

/// How long is waited for Postgres to come up.
const STARTUP_PATIENCE: Duration = Duration::from_secs(30);
/// `sensors.sensor_type` of the load generator's sensors.
const SENSOR_TYPE: &str = "load";
/// Of the advisory lock that keeps two load generators from adding the same sensors: "load" in ASCII.
const LOCK_KEY: i64 = 0x6c6f_6164;

/// A connection of the load generator.
pub struct LoadStore {
    connection: PgConnection,
}

impl LoadStore {
    /// Connects; waits up to 30 s for Postgres to come up.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, ConnectError> {
        let connection = connect_within(STARTUP_PATIENCE, database, "sensorpipe load").await?;
        Ok(Self { connection })
    }

    /// The ids of `count` sensors of type `load`, lowest first; those that are missing are added.
    pub async fn sensors(&mut self, count: u32) -> Result<Vec<i32>, StoreError> {
        let doing = "adding sensors";
        let mut transaction = self.connection.begin().await.map_err(StoreError::new(doing))?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK_KEY)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::new(doing))?;
        let mut sensor_ids: Vec<i32> = sqlx::query_scalar(
            "SELECT sensor_id FROM sensors
             WHERE sensor_type = $1 AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
             ORDER BY sensor_id LIMIT $2",
        )
        .bind(SENSOR_TYPE)
        .bind(i64::from(count))
        .fetch_all(&mut *transaction)
        .await
        .map_err(StoreError::new(doing))?;
        let missing = i64::from(count) - sensor_ids.len() as i64;
        if missing > 0 {
            let added: Vec<i32> = sqlx::query_scalar(
                "INSERT INTO sensors (sensor_type, description)
                 SELECT $1, 'Made up by sensorpipe load' FROM generate_series(1, $2) RETURNING sensor_id",
            )
            .bind(SENSOR_TYPE)
            .bind(missing)
            .fetch_all(&mut *transaction)
            .await
            .map_err(StoreError::new(doing))?;
            sensor_ids.extend(added);
            sensor_ids.sort_unstable();
        }
        transaction.commit().await.map_err(StoreError::new(doing))?;
        Ok(sensor_ids)
    }

    /// Partitions of the topic that were ever assigned, with the first offset of each that is not stored.
    ///
    /// Cheap enough to be asked hundreds of times a second.
    pub async fn next_offsets(&mut self, log: &Log) -> Result<Vec<(i32, i64)>, StoreError> {
        sqlx::query_as(
            "SELECT partition, next_offset FROM ingest_offsets
             WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3",
        )
        .bind(&log.cluster_id)
        .bind(&log.topic)
        .bind(&log.topic_id)
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("watching the stored offsets"))
    }

    /// Outcomes of all readings of the topic so far.
    pub async fn tally(&mut self, log: &Log) -> Result<Tally, StoreError> {
        let doing = "counting fates";
        let row = sqlx::query(
            "SELECT coalesce(sum(stored), 0)::bigint AS stored, coalesce(sum(duplicates), 0)::bigint AS duplicates,
                    coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered
             FROM ingest_offsets WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3",
        )
        .bind(&log.cluster_id)
        .bind(&log.topic)
        .bind(&log.topic_id)
        .fetch_one(&mut self.connection)
        .await
        .map_err(StoreError::new(doing))?;
        let tally = || -> Result<Tally, sqlx::Error> {
            Ok(Tally {
                stored: row.try_get("stored")?,
                duplicates: row.try_get("duplicates")?,
                dead_lettered: row.try_get("dead_lettered")?,
            })
        };
        tally().map_err(StoreError::new(doing))
    }

    /// Which of a run's readings are there: those of its sensors, at its times, with values that it may have sent.
    ///
    /// What others sent between these times is left out.
    pub async fn find(&mut self, expected: &Expected) -> Result<Found, StoreError> {
        let longest = expected.sensors.iter().map(|sensor| sensor.readings).max().unwrap_or(0) as i64;
        let last = expected.first.plus_micros(longest.saturating_sub(1) * expected.step_micros);
        let (readings, checksum): (i64, i64) = sqlx::query_as(
            "SELECT count(*),
                    coalesce(sum(hundredths * ((sensor_id * $6 + micros / $5) % $7 + 1)), 0)::bigint
             FROM (SELECT sensor_id::bigint, value, round(value * 100)::bigint AS hundredths, sent.readings,
                          round(date_part('epoch', time - $3) * 1e6)::bigint AS micros
                   FROM sensor_data
                   JOIN unnest($1::int[], $2::bigint[]) AS sent (sensor_id, readings) USING (sensor_id)
                   WHERE time BETWEEN $3 AND $4 AND abs(value) < 1e15) AS found
             WHERE micros % $5 = 0 AND micros / $5 < readings AND value = hundredths / 100.0::float8",
        )
        .bind(expected.sensors.iter().map(|sensor| sensor.sensor_id).collect::<Vec<_>>())
        .bind(expected.sensors.iter().map(|sensor| sensor.readings as i64).collect::<Vec<_>>())
        .bind(expected.first.to_datetime())
        .bind(last.to_datetime())
        .bind(expected.step_micros)
        .bind(CHECKSUM_SENSOR_FACTOR)
        .bind(CHECKSUM_MODULUS)
        // A plan for any times holds every chunk.
        .persistent(false)
        .fetch_one(&mut self.connection)
        .await
        .map_err(StoreError::new("looking for what was sent"))?;
        Ok(Found { readings: readings.cast_unsigned(), checksum })
    }
}
