//! The usual case: a week of days that are kept, and today.

use chrono::{Days, NaiveDate};
use sqlx::{Executor, FromRow, PgConnection, error::DatabaseError};

use super::{COLUMNS, DAYS_MAX, DayStats, KEPT, SUMMED_UP};
use crate::store::{StoreError, day::start_of, error::is_out_of_range, pool::Pool, queries::windows};

/// A sensor's newest days where those of the last week are kept and there are enough of them; none where there may be
/// more to say: one of them is not kept or has no readings, or there are days in the future.
pub(super) async fn week(
    pool: &Pool,
    sensor_id: i32,
    today: NaiveDate,
) -> Result<Option<Vec<DayStats>>, StoreError> {
    let days = pool
        .read_by_spans(
            "reading kept statistics",
            (sensor_id, today, pool.clone()),
            |connection, (sensor_id, today, pool), spans| {
                Box::pin(async move {
                    // The plan is kept in a session: it would be there for others, and not for us.
                    if pool.gives_sessions_away() || !spans.fits(&(start_of(today)..windows::END)) {
                        return Ok(vec![]);
                    }
                    match read(connection, sensor_id, today).await {
                        // Of today's values something overflows; the general case has an answer.
                        Err(error) if is_out_of_range(&error) => Ok(vec![]),
                        Ok(days) if !days.iter().all(DayStats::has_quartiles) => Ok(vec![]),
                        days => days,
                    }
                })
            },
        )
        .await?;
    Ok((days.len() == DAYS_MAX).then_some(days))
}

/// A plan is kept for each connection, made once a day and again where a chunk is made: planning costs more than the
/// work, and the more the more chunks there are. The pool's own statements are planned each time. One message, so that
/// the setting costs no time of its own.
async fn read(
    connection: &mut PgConnection,
    sensor_id: i32,
    today: NaiveDate,
) -> Result<Vec<DayStats>, sqlx::Error> {
    let name = format!("settled_{}", today.format("%Y%m%d"));
    let execute = format!("SET LOCAL plan_cache_mode = force_generic_plan; EXECUTE {name} ({sensor_id})");
    let rows = match connection.fetch_all(execute.as_str()).await {
        Err(error) if is_not_prepared(&error) => {
            let prepare = format!("PREPARE {name} (int) AS {}", statement(today));
            connection.execute(prepare.as_str()).await?;
            connection.fetch_all(execute.as_str()).await?
        }
        rows => rows?,
    };
    rows.iter().map(DayStats::from_row).collect()
}

fn is_not_prepared(error: &sqlx::Error) -> bool {
    /// `invalid_sql_statement_name`
    const NOT_PREPARED: &str = "26000";
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some(NOT_PREPARED)
}

/// The statement of a day; `$1` is the sensor. It answers nothing where it does not know for sure.
///
/// Its times are constants, so that its plan has the chunks from today on and no others, whatever its parameter. The
/// sensor stands behind a `SELECT`, where the planner does not look at it, so plans are equally good for all.
/// Readings are looked at in today's range and in the future's. Where there is a today, the day a week ago is one too
/// many.
pub fn statement(today: NaiveDate) -> String {
    let (week_ago, tomorrow) = (today - Days::new(DAYS_MAX as u64), today + Days::new(1));
    let enough = DAYS_MAX - 1;
    format!(
        "WITH kept AS MATERIALIZED (
             SELECT {KEPT} FROM daily_stats
             WHERE sensor_id = (SELECT $1::int) AND day >= '{week_ago}' AND day < '{today}'
         ), settled AS MATERIALIZED (
             SELECT (SELECT count(*) FROM kept WHERE day > '{week_ago}') = {enough}
                AND (EXISTS (SELECT FROM kept WHERE day = '{week_ago}')
                     OR EXISTS (SELECT FROM sensor_data WHERE sensor_id = (SELECT $1::int)
                                  AND time >= '{today}' AND time < '{tomorrow}'))
                AND NOT EXISTS (SELECT FROM sensor_data
                                WHERE sensor_id = (SELECT $1::int) AND time >= '{tomorrow}') AS is_settled
         )
         SELECT {SUMMED_UP}
         FROM (SELECT date '{today}' AS day, {COLUMNS} FROM sensor_data
               WHERE sensor_id = (SELECT $1::int) AND time >= '{today}' AND time < '{tomorrow}'
                 AND (SELECT is_settled FROM settled)) AS today
         WHERE reading_count > 0
         UNION ALL
         SELECT {KEPT} FROM kept WHERE (SELECT is_settled FROM settled)
         ORDER BY day DESC LIMIT {DAYS_MAX}"
    )
}
