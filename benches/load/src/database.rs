//! What the load generator does in the database: adds sensors, watches offsets, checks what was stored.

use std::time::Duration;

use anyhow::Context;
use sensorpipe::{
    batch::Tally,
    config::DatabaseConfig,
    log::Log,
    store::{ConnectError, connect_within},
};
use sqlx::{Connection, PgConnection};

use crate::plan::{CHECKSUM_MODULUS, CHECKSUM_SENSOR_FACTOR, Expected, Found};

/// How long is waited for Postgres to come up.
const STARTUP_PATIENCE: Duration = Duration::from_secs(30);
/// `sensors.sensor_type` of the load generator's sensors.
const SENSOR_TYPE: &str = "load";
/// Of the advisory lock that keeps two load generators from adding the same sensors: "load" in ASCII.
const LOCK_KEY: i64 = 0x6c6f_6164;

/// A connection of the load generator.
pub(crate) struct Database {
    connection: PgConnection,
}

impl Database {
    /// Connects; waits up to 30 s for Postgres to come up.
    pub(crate) async fn connect(database: &DatabaseConfig) -> Result<Self, ConnectError> {
        let connection = connect_within(STARTUP_PATIENCE, database, "sensorpipe load").await?;
        Ok(Self { connection })
    }

    /// The ids of `count` sensors of type `load`, lowest first; those that are missing are added.
    pub(crate) async fn sensors(&mut self, count: u32) -> Result<Vec<i32>, sqlx::Error> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK_KEY).execute(&mut *transaction).await?;
        let mut sensor_ids: Vec<i32> = sqlx::query_scalar(
            "SELECT sensor_id FROM sensors
             WHERE sensor_type = $1 AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
             ORDER BY sensor_id LIMIT $2",
        )
        .bind(SENSOR_TYPE)
        .bind(i64::from(count))
        .fetch_all(&mut *transaction)
        .await?;
        let missing = i64::from(count) - sensor_ids.len() as i64;
        if missing > 0 {
            let added: Vec<i32> = sqlx::query_scalar(
                "INSERT INTO sensors (sensor_type, description)
                 SELECT $1, 'Made up by sensorpipe load' FROM generate_series(1, $2) RETURNING sensor_id",
            )
            .bind(SENSOR_TYPE)
            .bind(missing)
            .fetch_all(&mut *transaction)
            .await?;
            sensor_ids.extend(added);
            sensor_ids.sort_unstable();
        }
        transaction.commit().await?;
        Ok(sensor_ids)
    }

    /// Partitions of the topic that were ever assigned, with the first offset of each that is not stored.
    ///
    /// Cheap enough to be asked hundreds of times a second.
    pub(crate) async fn next_offsets(&mut self, log: &Log) -> anyhow::Result<Vec<(i32, i64)>> {
        sqlx::query_as(
            "SELECT partition, next_offset FROM ingest_offsets
             WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3",
        )
        .bind(&log.cluster_id)
        .bind(&log.topic)
        .bind(&log.topic_id)
        .fetch_all(&mut self.connection)
        .await
        .context("watching the stored offsets")
    }

    /// Outcomes of all readings of the topic so far.
    pub(crate) async fn tally(&mut self, log: &Log) -> anyhow::Result<Tally> {
        let (stored, duplicates, dead_lettered) = sqlx::query_as(
            "SELECT coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicates), 0)::bigint,
                    coalesce(sum(dead_lettered), 0)::bigint
             FROM ingest_offsets WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3",
        )
        .bind(&log.cluster_id)
        .bind(&log.topic)
        .bind(&log.topic_id)
        .fetch_one(&mut self.connection)
        .await
        .context("counting outcomes")?;
        Ok(Tally { stored, duplicates, dead_lettered })
    }

    /// Which of a run's readings are there: those of its sensors, at its times, with values that it may have sent.
    ///
    /// What others sent between these times is left out.
    pub(crate) async fn find(&mut self, expected: &Expected) -> anyhow::Result<Found> {
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
        .context("looking for what was sent")?;
        Ok(Found { readings: readings.cast_unsigned(), checksum })
    }
}
