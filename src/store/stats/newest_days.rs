//! The general case: any days, kept or not, however far back and however far apart.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::{DAYS_MAX, DayStats, Mean, SUMMED_UP};
use crate::store::{StoreError, error::is_out_of_range, pool::Pool};

/// What of a sensor's days could be told.
#[derive(Default)]
pub(super) struct Newest {
    /// The days; none where some must be kept first.
    pub(super) days: Vec<DayStats>,
    /// Those among the newest days that are over, and that were to be kept but are not.
    pub(super) to_keep: Vec<NaiveDate>,
}

/// Whether kept statistics are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Used,
    Ignored,
}

/// All that is told of a day comes from one snapshot: a day that is not kept in it was not written since.
/// A process that is frozen inside it holds up nobody but retention, and that not for long.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// The newest day that has readings or is kept; `$1` the sensor, `$2` and `$3` the midnight and the day that it is
/// before, or null; `$4` whether kept days count.
///
/// A probe of the primary key in each chunk, the newest first, until one has an answer. The parameters stand where the
/// planner does not look at them: the plan, of every chunk there is, is made once and kept.
pub const NEWEST_DAY: &str = "
    SELECT greatest(
        (SELECT time::date AS day FROM sensor_data
         WHERE sensor_id = (SELECT $1::int) AND time < (SELECT coalesce($2::timestamptz, 'infinity'))
         ORDER BY time DESC LIMIT 1),
        (SELECT day FROM daily_stats
         WHERE sensor_id = (SELECT $1::int) AND day < (SELECT coalesce($3::date, 'infinity'))
           AND (SELECT $4::bool)
         ORDER BY day DESC LIMIT 1))";

/// The days from midnight `$2` to midnight `$3` on which the sensor `$1` has readings, newest first, with what is
/// kept of them where `$4` allows that.
///
/// The bounds let the planner leave out all other chunks; each day's own make it a range of the key.
pub const DAYS_OF_WEEK: &str = "
    SELECT start::date AS day, avg_value, min_value, max_value, reading_count,
           lower_quartile, median_value, upper_quartile
    FROM generate_series($2::timestamptz, $3::timestamptz - interval '24 hours', interval '24 hours') AS start
    LEFT JOIN daily_stats ON $4::bool AND daily_stats.sensor_id = $1 AND daily_stats.day = start::date
    WHERE daily_stats.day IS NOT NULL
       OR EXISTS (SELECT FROM sensor_data
                  WHERE sensor_data.sensor_id = $1 AND time >= $2 AND time < $3
                    AND time >= start AND time < start + interval '24 hours')
    ORDER BY start DESC";

/// A day that has readings, and what is kept of it.
#[derive(sqlx::FromRow)]
struct Listed {
    day: NaiveDate,
    avg_value: Option<f64>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    reading_count: Option<i64>,
    lower_quartile: Option<f64>,
    median_value: Option<f64>,
    upper_quartile: Option<f64>,
}

impl Listed {
    fn kept(&self) -> Option<DayStats> {
        Some(DayStats {
            day: self.day,
            avg_value: self.avg_value?,
            min_value: self.min_value?,
            max_value: self.max_value?,
            reading_count: self.reading_count?,
            median_value: self.median_value?,
            lower_quartile: self.lower_quartile?,
            upper_quartile: self.upper_quartile?,
        })
    }
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Question {
    pub(super) sensor_id: i32,
    pub(super) kept: Kept,
    /// Days before this one must be kept, or nothing is told but which ones are not.
    pub(super) all_kept_before: Option<NaiveDate>,
}

/// The newest days, each as it is kept or else from its readings.
pub(super) async fn read(pool: &Pool, question: Question) -> Result<Newest, StoreError> {
    pool.run("reading daily statistics", move |connection| {
        Box::pin(async move {
            match in_snapshot(connection, question, Mean::Float).await {
                Err(error) if is_out_of_range(&error) => {
                    in_snapshot(connection, question, Mean::Numeric).await
                }
                newest => newest,
            }
        })
    })
    .await
}

async fn in_snapshot(
    connection: &mut PgConnection,
    question: Question,
    mean: Mean,
) -> Result<Newest, sqlx::Error> {
    let mut snapshot = connection.begin_with(SNAPSHOT).await?;
    let listed = list(&mut snapshot, question).await?;
    let not_kept: Vec<NaiveDate> =
        listed.iter().filter(|day| day.kept().is_none()).map(|day| day.day).collect();
    let to_keep: Vec<NaiveDate> = question
        .all_kept_before
        .map_or(vec![], |today| not_kept.iter().copied().filter(|day| *day < today).collect());
    if !to_keep.is_empty() {
        snapshot.rollback().await?;
        return Ok(Newest { days: vec![], to_keep });
    }
    let mut days = compute(&mut snapshot, question.sensor_id, &not_kept, mean).await?;
    snapshot.commit().await?;
    days.extend(listed.iter().filter_map(Listed::kept));
    days.sort_unstable_by_key(|day| std::cmp::Reverse(day.day));
    Ok(Newest { days, to_keep })
}

/// The newest days, newest first: a week from the newest one; where that week has gaps, another one before it, so
/// at most 7 of them. What is read does not grow with the sensor's history.
async fn list(
    snapshot: &mut Transaction<'_, Postgres>,
    question: Question,
) -> Result<Vec<Listed>, sqlx::Error> {
    let uses_kept = question.kept == Kept::Used;
    let mut days = Vec::with_capacity(DAYS_MAX);
    let mut before: Option<NaiveDate> = None;
    while days.len() < DAYS_MAX {
        let last: Option<NaiveDate> = sqlx::query_scalar(NEWEST_DAY)
            .bind(question.sensor_id)
            .bind(before.map(midnight))
            .bind(before)
            .bind(uses_kept)
            .fetch_one(&mut **snapshot)
            .await?;
        let Some(last) = last else { break };
        let wanted = Days::new((DAYS_MAX - days.len() - 1) as u64);
        let first = last.checked_sub_days(wanted).unwrap_or(last);
        let week: Vec<Listed> = sqlx::query_as(DAYS_OF_WEEK)
            .bind(question.sensor_id)
            .bind(midnight(first))
            .bind(midnight(last) + TimeDelta::days(1))
            .bind(uses_kept)
            .fetch_all(&mut **snapshot)
            .await?;
        days.extend(week);
        before = Some(first);
    }
    Ok(days)
}

/// Sums up days from their readings.
async fn compute(
    snapshot: &mut Transaction<'_, Postgres>,
    sensor_id: i32,
    days: &[NaiveDate],
    mean: Mean,
) -> Result<Vec<DayStats>, sqlx::Error> {
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { return Ok(vec![]) };
    let columns = mean.columns();
    // The bounds leave out all other chunks, each day's own make it a range of the key.
    let sql = format!(
        "SELECT {SUMMED_UP}
         FROM unnest($2::date[]) AS asked (day)
         CROSS JOIN LATERAL (
             SELECT {columns} FROM sensor_data
             WHERE sensor_id = $1 AND time >= $3 AND time < $4
               AND time >= asked.day::timestamptz
               AND time < asked.day::timestamptz + interval '24 hours') AS day_stats
         WHERE reading_count > 0"
    );
    sqlx::query_as(&sql)
        .bind(sensor_id)
        .bind(days)
        .bind(midnight(*first))
        .bind(midnight(*last) + TimeDelta::days(1))
        .fetch_all(&mut **snapshot)
        .await
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
