//! Statistics over a sensor's readings.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{StoreError, pool::Pool};

/// One sensor's readings of one UTC day, summed up.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct DayStats {
    /// The day.
    pub day: NaiveDate,
    /// Arithmetic mean.
    pub avg_value: f64,
    /// Smallest value.
    pub min_value: f64,
    /// Largest value.
    pub max_value: f64,
    /// How many readings.
    pub reading_count: i64,
    /// `percentile_cont(0.5)`.
    pub median_value: f64,
    /// `percentile_cont(0.25)`.
    pub lower_quartile: f64,
    /// `percentile_cont(0.75)`.
    pub upper_quartile: f64,
}

/// The newest days that are told.
const DAYS_MAX: usize = 7;

/// SQLSTATE `numeric_value_out_of_range`.
const OUT_OF_RANGE: &str = "22003";

/// The newest 7 UTC days on which a sensor has readings, newest first.
pub async fn daily_avg(pool: &Pool, sensor_id: i32) -> Result<Vec<DayStats>, StoreError> {
    pool.run("reading daily statistics", move |connection| {
        Box::pin(async move {
            match newest_days(connection, sensor_id, "avg(value)").await {
                // Squares of values past 1e154 overflow inside avg(), which keeps a variance besides.
                // Numeric is slower and keeps 15 digits, but has an answer.
                Err(error) if is_out_of_range(&error) => {
                    newest_days(connection, sensor_id, "avg(value::numeric)::float8").await
                }
                answer => answer,
            }
        })
    })
    .await
}

/// One probe of the primary key (`sensor_id`, `time`) finds the newest reading, and with it a week to look at;
/// where that week has gaps, another probe finds the newest reading before it, so at most 7 times.
///
/// What is read is bounded in time, so the cost does not grow with the sensor's history.
async fn newest_days(
    connection: &mut PgConnection,
    sensor_id: i32,
    mean: &'static str,
) -> Result<Vec<DayStats>, sqlx::Error> {
    let mut days = Vec::with_capacity(DAYS_MAX);
    let mut before = None;
    while days.len() < DAYS_MAX {
        let Some(newest) = newest_reading(connection, sensor_id, before).await? else { break };
        let last = newest.date_naive();
        let wanted = Days::new((DAYS_MAX - days.len() - 1) as u64);
        let first = last.checked_sub_days(wanted).unwrap_or(last);
        days.extend(days_between(connection, sensor_id, first, last, mean).await?);
        before = Some(midnight(first));
    }
    Ok(days)
}

async fn newest_reading(
    connection: &mut PgConnection,
    sensor_id: i32,
    before: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    const NEWEST: &str = "SELECT time FROM sensor_data WHERE sensor_id = $1 ORDER BY time DESC LIMIT 1";
    const NEWEST_BEFORE: &str =
        "SELECT time FROM sensor_data WHERE sensor_id = $1 AND time < $2 ORDER BY time DESC LIMIT 1";
    match before {
        None => sqlx::query_scalar(NEWEST).bind(sensor_id).fetch_optional(connection).await,
        Some(before) => {
            sqlx::query_scalar(NEWEST_BEFORE).bind(sensor_id).bind(before).fetch_optional(connection).await
        }
    }
}

/// `mean` is one of two expressions of ours, never a client's text.
///
/// The bounds $2 and $3 let the planner leave out all other chunks; each day's own make it a range of the key.
async fn days_between(
    connection: &mut PgConnection,
    sensor_id: i32,
    first: NaiveDate,
    last: NaiveDate,
    mean: &'static str,
) -> Result<Vec<DayStats>, sqlx::Error> {
    let sql = format!(
        "SELECT day::date AS day, avg_value, min_value, max_value, reading_count,
                quartiles[1] AS lower_quartile, quartiles[2] AS median_value, quartiles[3] AS upper_quartile
           FROM generate_series($2, $3 - interval '24 hours', interval '24 hours') AS day
          CROSS JOIN LATERAL (
            SELECT {mean} AS avg_value, min(value) AS min_value, max(value) AS max_value,
                   count(*) AS reading_count,
                   percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS quartiles
              FROM sensor_data
             WHERE sensor_id = $1 AND time >= $2 AND time < $3
               AND time >= day AND time < day + interval '24 hours') AS day_stats
          WHERE reading_count > 0
          ORDER BY day DESC"
    );
    sqlx::query_as(&sql)
        .bind(sensor_id)
        .bind(midnight(first))
        .bind(midnight(last) + TimeDelta::days(1))
        .fetch_all(connection)
        .await
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn is_out_of_range(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == OUT_OF_RANGE)
}
