//! Statistics over a sensor's readings.

use chrono::NaiveDate;
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
    /// `percentile_cont(0.75)` − `percentile_cont(0.25)`.
    #[sqlx(skip)]
    pub iqr_value: f64,
    lower_quartile: f64,
    upper_quartile: f64,
}

/// SQLSTATE `numeric_value_out_of_range`.
const OUT_OF_RANGE: &str = "22003";

/// The newest 7 UTC days on which a sensor has readings, newest first.
pub async fn daily_avg(pool: &Pool, sensor_id: i32) -> Result<Vec<DayStats>, StoreError> {
    let days = pool
        .run("reading daily statistics", move |connection| {
            Box::pin(async move {
                match days(connection, sensor_id, "avg(value)").await {
                    // Squares of values past 1e154 overflow inside avg(), which keeps a variance besides.
                    // Numeric is slower and keeps 15 digits, but has an answer.
                    Err(error) if is_out_of_range(&error) => {
                        days(connection, sensor_id, "avg(value::numeric)::float8").await
                    }
                    answer => answer,
                }
            })
        })
        .await?;
    Ok(days
        .into_iter()
        .map(|day| DayStats { iqr_value: day.upper_quartile - day.lower_quartile, ..day })
        .collect())
}

/// `mean` is one of the two expressions above, never a client's text.
///
/// The days are found by walking the primary key (`sensor_id`, `time`) downwards, one probe a day, and each is
/// then read between its two bounds: the cost does not grow with the sensor's history.
async fn days(
    connection: &mut PgConnection,
    sensor_id: i32,
    mean: &str,
) -> Result<Vec<DayStats>, sqlx::Error> {
    let sql = format!(
        "WITH RECURSIVE newest (day, place) AS (
            (SELECT (time AT TIME ZONE 'UTC')::date, 1
               FROM sensor_data WHERE sensor_id = $1 ORDER BY time DESC LIMIT 1)
            UNION ALL
            SELECT (earlier.time AT TIME ZONE 'UTC')::date, newest.place + 1
              FROM newest CROSS JOIN LATERAL (
                SELECT time FROM sensor_data
                 WHERE sensor_id = $1 AND time < newest.day::timestamp AT TIME ZONE 'UTC'
                 ORDER BY time DESC LIMIT 1) AS earlier
             WHERE newest.place < 7)
        SELECT day, avg_value, min_value, max_value, reading_count,
               quartiles[1] AS lower_quartile, quartiles[2] AS median_value, quartiles[3] AS upper_quartile
          FROM newest CROSS JOIN LATERAL (
            SELECT {mean} AS avg_value, min(value) AS min_value, max(value) AS max_value,
                   count(*) AS reading_count,
                   percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS quartiles
              FROM sensor_data
             WHERE sensor_id = $1
               AND time >= newest.day::timestamp AT TIME ZONE 'UTC'
               AND time < (newest.day + 1)::timestamp AT TIME ZONE 'UTC') AS day_stats
         ORDER BY day DESC"
    );
    sqlx::query_as(&sql).bind(sensor_id).fetch_all(connection).await
}

fn is_out_of_range(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == OUT_OF_RANGE)
}
