//! Keeps days that are over for charts, of all sensors, without anybody asking.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{failed_days::FailedDays, quarter_hours::roll_up_whole_day};
use crate::{
    config::DatabaseConfig,
    store::{
        StoreError,
        connection::{connect, takes},
        day::midnight,
    },
};

/// Of the advisory lock that lets one process at a time do it: "sweeps" in ASCII.
const LOCK_KEY: i64 = 0x7377_6565_7073;
/// How many sensors are looked for at a time.
const PORTION: i64 = 1_000;
/// It rests this much longer than it works, so that a fifth of one connection's time goes there at most.
const REST: u32 = 4;

const DOING: &str = "keeping days for charts";

/// How far back is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A week of days that are over: what changes from one day to the next.
    Week,
    /// All chunks that there are.
    All,
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Days of sensors that were looked at because they were not kept, without those that failed.
    pub kept: u64,
    /// Those that could not be kept.
    pub failed: FailedDays,
    /// Another process is at it, and this one did nothing.
    pub is_elsewhere: bool,
}

/// Keeps what is not kept, the newest days first; nothing where another process is at it.
pub async fn sweep(database: &DatabaseConfig, reach: Reach) -> Result<Swept, StoreError> {
    let mut connection = connect(database, "sensorpipe statistics").await?;
    let swept = sweep_over(&mut connection, reach).await?;
    // The lock goes with the connection.
    connection.close().await.map_err(StoreError::new(DOING))?;
    Ok(swept)
}

async fn sweep_over(connection: &mut PgConnection, reach: Reach) -> Result<Swept, StoreError> {
    let is_ours = takes(connection, LOCK_KEY).await.map_err(StoreError::new(DOING))?;
    let mut swept = Swept { is_elsewhere: !is_ours, ..Swept::default() };
    let chunks = chunks(connection).await.map_err(StoreError::new(DOING))?;
    let Some((oldest, newest)) = chunks.filter(|_| is_ours) else { return Ok(swept) };
    let yesterday = Utc::now().date_naive() - Days::new(1);
    let mut day = newest.min(yesterday);
    let last = match reach {
        Reach::Week => oldest.max(yesterday - Days::new(6)),
        Reach::All => oldest,
    };
    while day >= last {
        roll_up_day_of_all(connection, day, &mut swept).await?;
        day = day - Days::new(1);
    }
    Ok(swept)
}

/// The first and the last day that chunks can hold; a reading that somebody's SQL put at infinity has no day.
async fn chunks(connection: &mut PgConnection) -> Result<Option<(NaiveDate, NaiveDate)>, sqlx::Error> {
    let (since, until): (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = sqlx::query_as(
        "SELECT least(greatest(min(range_start), '0001-01-01'), '9999-12-31'), least(max(range_end), '9999-12-31')
         FROM timescaledb_information.chunks
         WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass",
    )
    .fetch_one(connection)
    .await?;
    let day = |time: DateTime<Utc>| time.date_naive();
    Ok(since.zip(until).map(|(since, until)| (day(since), day(until - TimeDelta::microseconds(1)))))
}

async fn roll_up_day_of_all(
    connection: &mut PgConnection,
    day: NaiveDate,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let mut after = i32::MIN;
    loop {
        let started = Instant::now();
        let missing = not_kept(connection, day, after).await.map_err(StoreError::new(DOING))?;
        sleep(started.elapsed() * REST).await;
        let Some(&last) = missing.last() else { return Ok(()) };
        for sensor_id in missing {
            let started = Instant::now();
            let outcome = roll_up_whole_day(connection, sensor_id, day).await.map_err(StoreError::new(DOING));
            let is_kept = swept.failed.take(sensor_id, day, outcome.map(|()| true))?;
            swept.kept += u64::from(is_kept);
            sleep(started.elapsed() * REST).await;
        }
        after = last;
    }
}

/// Sensors that have readings of a day and nothing for charts: two probes of an index for each.
async fn not_kept(
    connection: &mut PgConnection,
    day: NaiveDate,
    after: i32,
) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT sensor_id FROM sensors
         WHERE sensor_id > $4 AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
           AND NOT EXISTS (SELECT FROM daily_stats AS kept
                           WHERE kept.sensor_id = sensors.sensor_id AND kept.day = $1
                             AND (kept.quarter_hours IS NOT NULL OR kept.is_final))
           AND EXISTS (SELECT FROM sensor_data AS reading
                       WHERE reading.sensor_id = sensors.sensor_id
                         AND reading.time >= $2 AND reading.time < $3)
         ORDER BY sensor_id LIMIT $5",
    )
    .bind(day)
    // As times: what a date is in the session's time zone is not known when the plan is made.
    .bind(midnight(day))
    .bind(midnight(day + Days::new(1)))
    .bind(after)
    .bind(PORTION)
    // A plan for any day holds every chunk.
    .persistent(false)
    .fetch_all(connection)
    .await
}
