//! The general case: any days, kept or not, however far back and however far apart.

use chrono::{Days, NaiveDate, TimeDelta};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::{COLUMNS, DAYS_MAX, DayStats, SUMMED_UP, any_values};
use crate::{
    reading::Timestamp,
    store::{
        StoreError,
        chunk_spans::ChunkSpans,
        day::{end_of, midnight, start_of},
        error::is_out_of_range,
        pool::Pool,
        queries::{ends::last_time, windows},
        read_snapshot::{BEGIN_SNAPSHOT, release_locks},
    },
};

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

/// The newest day that is kept of the sensor `$1`, of those before `$2`, or null.
const NEWEST_KEPT_DAY: &str = "SELECT day FROM daily_stats
    WHERE sensor_id = $1 AND day < coalesce($2::date, 'infinity') ORDER BY day DESC LIMIT 1";

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
    pool.read_by_spans("reading daily statistics", question, |connection, question, spans| {
        Box::pin(in_snapshot(connection, question, spans))
    })
    .await
}

async fn in_snapshot(
    connection: &mut PgConnection,
    question: Question,
    spans: ChunkSpans,
) -> Result<Newest, sqlx::Error> {
    // All that is told of a day comes from one snapshot: a day that is not kept in it was not written since.
    let mut snapshot = connection.begin_with(BEGIN_SNAPSHOT).await?;
    let listed = list(&mut snapshot, question, &spans).await?;
    let not_kept: Vec<NaiveDate> =
        listed.iter().filter(|day| day.kept().is_none()).map(|day| day.day).collect();
    let to_keep: Vec<NaiveDate> = question
        .all_kept_before
        .map_or(vec![], |today| not_kept.iter().copied().filter(|day| *day < today).collect());
    if !to_keep.is_empty() {
        snapshot.rollback().await?;
        return Ok(Newest { days: vec![], to_keep });
    }
    let mut days = compute(&mut snapshot, question.sensor_id, &not_kept, &spans).await?;
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
    spans: &ChunkSpans,
) -> Result<Vec<Listed>, sqlx::Error> {
    let mut days = Vec::with_capacity(DAYS_MAX);
    let mut before: Option<NaiveDate> = None;
    while days.len() < DAYS_MAX {
        let Some(last) = newest_day(snapshot, question, before, spans).await? else { break };
        let wanted = Days::new((DAYS_MAX - days.len() - 1) as u64);
        let first = last.checked_sub_days(wanted).unwrap_or(last);
        for (first, last) in at_once(first, last, spans) {
            let listed: Vec<Listed> = sqlx::query_as(DAYS_OF_WEEK)
                .bind(question.sensor_id)
                .bind(midnight(first))
                .bind(midnight(last) + TimeDelta::days(1))
                .bind(question.kept == Kept::Used)
                .fetch_all(&mut **snapshot)
                .await?;
            release_locks(snapshot).await?;
            days.extend(listed);
        }
        before = Some(first);
    }
    Ok(days)
}

/// The newest day that has readings or is kept. What is kept bounds the search for readings.
async fn newest_day(
    snapshot: &mut Transaction<'_, Postgres>,
    question: Question,
    before: Option<NaiveDate>,
    spans: &ChunkSpans,
) -> Result<Option<NaiveDate>, sqlx::Error> {
    let kept: Option<NaiveDate> = match question.kept {
        Kept::Used => {
            sqlx::query_scalar(NEWEST_KEPT_DAY)
                .bind(question.sensor_id)
                .bind(before)
                .fetch_optional(&mut **snapshot)
                .await?
        }
        Kept::Ignored => None,
    };
    let start = kept.map_or(windows::BEGINNING, end_of);
    let end = before.map_or(windows::END, start_of);
    let last = last_time(snapshot, question.sensor_id, start..end, spans).await?;
    Ok(last.and_then(Timestamp::to_datetime).map(|time| time.date_naive()).or(kept))
}

/// First and last day of what is asked for at once: all of them, or, where they have many chunks, one, newest first.
fn at_once(first: NaiveDate, last: NaiveDate, spans: &ChunkSpans) -> Vec<(NaiveDate, NaiveDate)> {
    if spans.fits(&(start_of(first)..end_of(last))) {
        return vec![(first, last)];
    }
    let newest_first = std::iter::successors(Some(last), NaiveDate::pred_opt);
    newest_first.take_while(|day| *day >= first).map(|day| (day, day)).collect()
}

/// Sums up days from their readings.
async fn compute(
    snapshot: &mut Transaction<'_, Postgres>,
    sensor_id: i32,
    days: &[NaiveDate],
    spans: &ChunkSpans,
) -> Result<Vec<DayStats>, sqlx::Error> {
    let (Some(&first), Some(&last)) = (days.iter().min(), days.iter().max()) else { return Ok(vec![]) };
    // The bounds leave out all other chunks, each day's own make it a range of the key.
    let sql = format!(
        "SELECT {SUMMED_UP}
         FROM unnest($2::date[]) AS asked (day)
         CROSS JOIN LATERAL (
             SELECT {COLUMNS} FROM sensor_data
             WHERE sensor_id = $1 AND time >= $3 AND time < $4
               AND time >= asked.day::timestamptz
               AND time < asked.day::timestamptz + interval '24 hours') AS day_stats
         WHERE reading_count > 0"
    );
    // Between days that lie far apart there may be any number of chunks.
    let at_once = if spans.fits(&(start_of(first)..end_of(last))) { days.len() } else { 1 };
    let mut stats = Vec::with_capacity(days.len());
    for days in days.chunks(at_once) {
        let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { continue };
        let computed: Result<Vec<DayStats>, _> = sqlx::query_as(&sql)
            .bind(sensor_id)
            .bind(days)
            .bind(midnight(*first))
            .bind(midnight(*last) + TimeDelta::days(1))
            .fetch_all(&mut **snapshot)
            .await;
        release_locks(snapshot).await?;
        match computed {
            Ok(computed) if computed.iter().all(DayStats::has_quartiles) => stats.extend(computed),
            Err(error) if !is_out_of_range(&error) => return Err(error),
            _ => {
                for &day in days {
                    stats.extend(any_values::sum_up(snapshot, sensor_id, day, spans).await?);
                }
            }
        }
    }
    Ok(stats)
}
