//! The usual case: a week of days that are kept, and today.

use chrono::{Days, NaiveDate};
use sqlx::PgConnection;

use super::{DAYS_MAX, DayStats, KEPT, Mean, SUMMED_UP};
use crate::store::{StoreError, error::is_out_of_range, pool::Pool};

/// A sensor's newest days where those of the last week are kept, or without readings, and there are enough of them;
/// none where there may be more to say: one of them is not kept, there are days in the future, or too few.
pub(super) async fn week(
    pool: &Pool,
    sensor_id: i32,
    today: NaiveDate,
) -> Result<Option<Vec<DayStats>>, StoreError> {
    let sql = statement(today);
    let days = pool
        .run("reading kept statistics", move |connection| {
            Box::pin(async move {
                match read(connection, &sql, sensor_id).await {
                    // Today's values are out of float's reach; who asks next has the means.
                    Err(error) if is_out_of_range(&error) => Ok(vec![]),
                    days => days,
                }
            })
        })
        .await?;
    Ok((days.len() == DAYS_MAX).then_some(days))
}

async fn read(
    connection: &mut PgConnection,
    sql: &str,
    sensor_id: i32,
) -> Result<Vec<DayStats>, sqlx::Error> {
    sqlx::query_as(sql).bind(sensor_id).fetch_all(connection).await
}

/// The statement of a day; `$1` is the sensor. It answers nothing where it does not know for sure.
///
/// Its times are constants, so that the plan that Postgres keeps has the chunks of this week and no others: planning
/// costs more than the work, and a kept plan with times as parameters opens every chunk there is. The sensor stands
/// behind a `SELECT`, where the planner does not look at it, so plans are equally good for all and one is kept.
/// Readings are looked at in today's range, in the future's, and in those of days that are not kept. Where there is a
/// today, the day a week ago is one too many.
pub fn statement(today: NaiveDate) -> String {
    let (week_ago, tomorrow) = (today - Days::new(DAYS_MAX as u64), today + Days::new(1));
    let yesterday = today - Days::new(1);
    let enough = DAYS_MAX - 1;
    let columns = Mean::Float.columns();
    format!(
        "WITH kept AS MATERIALIZED (
             SELECT {KEPT} FROM daily_stats
             WHERE sensor_id = (SELECT $1::int) AND day >= '{week_ago}' AND day < '{today}'
         ), settled AS MATERIALIZED (
             SELECT (SELECT count(*) FROM kept) >= {enough}
                AND NOT EXISTS (SELECT FROM sensor_data
                                WHERE sensor_id = (SELECT $1::int) AND time >= '{tomorrow}')
                AND NOT EXISTS (
                    SELECT FROM generate_series(timestamptz '{week_ago}', '{yesterday}', '24 hours') AS start
                    WHERE NOT EXISTS (SELECT FROM kept WHERE kept.day = start::date)
                      AND (start > '{week_ago}'
                           OR NOT EXISTS (SELECT FROM sensor_data WHERE sensor_id = (SELECT $1::int)
                                            AND time >= '{today}' AND time < '{tomorrow}'))
                      AND EXISTS (SELECT FROM sensor_data
                                  WHERE sensor_id = (SELECT $1::int) AND time >= '{week_ago}' AND time < '{today}'
                                    AND time >= start AND time < start + interval '24 hours')) AS is_settled
         )
         SELECT {SUMMED_UP}
         FROM (SELECT date '{today}' AS day, {columns} FROM sensor_data
               WHERE sensor_id = (SELECT $1::int) AND time >= '{today}' AND time < '{tomorrow}'
                 AND (SELECT is_settled FROM settled)) AS today
         WHERE reading_count > 0
         UNION ALL
         SELECT {KEPT} FROM kept WHERE (SELECT is_settled FROM settled)
         ORDER BY day DESC LIMIT {DAYS_MAX}"
    )
}
