//! A sensor's readings as a chart of some width shows them, however many there are.
//!
//! | zoom | drawn from |
//! |---|---|
//! | no more readings than twice the width | themselves |
//! | up to four days | the readings, summed up by bucket |
//! | longer | the quarter-hours of days that are over; of today, and where the range cuts a day, the readings |
//! | a day or more in a bucket | the statistics of days; the same |
//!
//! So the readings of a few days are read at most, whatever the range. All that is told comes from one snapshot, as
//! [`crate::store::day_locks`] wants it.

mod days;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use self::days::{Days, Kept};
use super::{
    Measure, StatsQuery,
    measure::{Columns, Precision},
    parameter,
};
use crate::{
    buckets::{Envelope, Envelopes, Step},
    reading::Timestamp,
    store::{StoreError, error::is_out_of_range, pool::Pool},
};

/// From this length on, readings are not summed up any more but what is kept of them: 1 Hz makes 350,000 of them.
const READINGS_MAX_MICROS: i64 = 4 * DAY_MICROS;
const DAY_MICROS: i64 = 86_400_000_000;

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

const MEASURES: [Measure; 4] = [Measure::Count, Measure::Min, Measure::Max, Measure::Avg];

/// A chart that is asked for.
#[derive(Clone, Debug)]
pub struct ChartQuery {
    /// Of this sensor.
    pub sensor_id: i32,
    /// Readings not before; from the first one where not given.
    pub start: Option<Timestamp>,
    /// Readings before; to the last one where not given.
    pub end: Option<Timestamp>,
    /// About so many points.
    pub width: usize,
    /// Whether what is kept is used.
    pub uses_kept: bool,
    /// The day that is not over.
    pub today: NaiveDate,
}

/// What a chart is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Readings.
    Raw,
    /// Kept quarter-hours.
    QuarterHours,
    /// Kept days.
    Days,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its range, as it was asked for or as far as there are readings.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// How long a bucket is; none where each point is a reading.
    pub step: Option<Step>,
    /// What it is drawn from.
    pub source: Source,
    /// Buckets with readings by their start, or readings, the oldest first.
    pub points: Vec<(Timestamp, Envelope)>,
    /// Days, first and last, that are not kept and were too many to be read: they are not drawn, or as a whole.
    pub missing: Vec<(NaiveDate, NaiveDate)>,
    /// Days that should be kept; `missing` and those that were read.
    pub to_keep: Vec<(NaiveDate, NaiveDate)>,
}

/// Draws a chart; none where it has no range, for there are no readings at all.
pub async fn chart(pool: &Pool, query: ChartQuery) -> Result<Option<Chart>, StoreError> {
    pool.run("reading a chart", move |connection| {
        Box::pin(async move {
            match in_snapshot(connection, &query, Precision::Double).await {
                Err(error) if is_out_of_range(&error) => {
                    in_snapshot(connection, &query, Precision::Numeric).await
                }
                chart => chart,
            }
        })
    })
    .await
}

async fn in_snapshot(
    connection: &mut PgConnection,
    query: &ChartQuery,
    precision: Precision,
) -> Result<Option<Chart>, sqlx::Error> {
    let mut transaction = connection.begin_with(SNAPSHOT).await?;
    let mut snapshot = Snapshot { transaction: &mut transaction, query, precision };
    let chart = match snapshot.range().await? {
        Some((start, end)) => Some(snapshot.draw(start, end).await?),
        None => None,
    };
    transaction.commit().await?;
    Ok(chart)
}

/// What a chart is read in.
struct Snapshot<'s, 't> {
    transaction: &'s mut Transaction<'t, Postgres>,
    query: &'s ChartQuery,
    precision: Precision,
}

impl Snapshot<'_, '_> {
    /// The range asked for, its open ends where the readings end, or the days whose readings retention has dropped.
    async fn range(&mut self) -> Result<Option<(Timestamp, Timestamp)>, sqlx::Error> {
        const SQL: &str = "SELECT
            least((SELECT time FROM sensor_data WHERE sensor_id = $1 ORDER BY time LIMIT 1),
                  (SELECT min(day)::timestamptz FROM daily_stats WHERE sensor_id = $1 AND is_final AND $2)),
            greatest((SELECT time FROM sensor_data WHERE sensor_id = $1 ORDER BY time DESC LIMIT 1),
                     (SELECT max(day)::timestamptz + interval '24 hours' FROM daily_stats
                      WHERE sensor_id = $1 AND is_final AND $2))";
        type Ends = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);
        if let (Some(start), Some(end)) = (self.query.start, self.query.end) {
            return Ok(Some((start, end)));
        }
        let (first, last): Ends = sqlx::query_as(SQL)
            .bind(self.query.sensor_id)
            .bind(self.query.uses_kept)
            .fetch_one(&mut **self.transaction)
            .await?;
        let of = |time: DateTime<Utc>| Timestamp::from_micros(time.timestamp_micros());
        let after = |time| of(time).plus_micros(1);
        Ok(match (self.query.start, self.query.end, first, last) {
            (Some(start), _, _, Some(last)) => Some((start, after(last).max(start.plus_micros(1)))),
            (_, Some(end), Some(first), _) => Some((of(first).min(end.plus_micros(-1)), end)),
            (_, _, Some(first), Some(last)) => Some((of(first), after(last))),
            _ => None,
        })
    }

    async fn draw(&mut self, start: Timestamp, end: Timestamp) -> Result<Chart, sqlx::Error> {
        let has_final = self.query.uses_kept && self.has_final_days(start, end).await?;
        let chart = Chart {
            start,
            end,
            step: None,
            source: Source::Raw,
            points: vec![],
            missing: vec![],
            to_keep: vec![],
        };
        if !has_final && let Some(points) = self.few_readings(start, end).await? {
            return Ok(Chart { points, ..chart });
        }
        let mut step = Step::covering(start, end, self.query.width);
        let is_long = end.micros().saturating_sub(start.micros()) > READINGS_MAX_MICROS;
        if (is_long || has_final) && self.query.uses_kept {
            step = step.max(Step::QUARTER_HOUR);
        }
        let mut envelopes = Envelopes::new(step);
        let chart = Chart { step: Some(step), ..chart };
        if step < Step::QUARTER_HOUR || !self.query.uses_kept {
            self.sum_up(start, end, step, &mut envelopes).await?;
            return Ok(Chart { points: envelopes.into_points(), ..chart });
        }
        let source = if step < Step::DAY { Source::QuarterHours } else { Source::Days };
        let kept = self.kept(start, end, source).await?;
        let mut days = Days::new(start, end, self.query.today, source, kept);
        let extents = self.extents(&days.not_kept()).await?;
        days.miss(&extents);
        days.draw(&mut envelopes);
        for (start, end) in days.to_read() {
            self.sum_up(start, end, step, &mut envelopes).await?;
        }
        let (missing, to_keep) = (days.missing(), days.to_keep());
        Ok(Chart { source, points: envelopes.into_points(), missing, to_keep, ..chart })
    }

    async fn has_final_days(&mut self, start: Timestamp, end: Timestamp) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM daily_stats
                            WHERE sensor_id = $1 AND day >= $2::timestamptz::date AND day <= $3::timestamptz::date
                              AND is_final)",
        )
        .bind(self.query.sensor_id)
        .bind(parameter(start))
        .bind(parameter(end))
        .fetch_one(&mut **self.transaction)
        .await
    }

    /// All readings, where they are no more than a chart has room for.
    async fn few_readings(
        &mut self,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Option<Vec<(Timestamp, Envelope)>>, sqlx::Error> {
        let most = self.query.width * 2;
        let readings: Vec<(DateTime<Utc>, f64)> = sqlx::query_as(
            "SELECT time, value FROM sensor_data
             WHERE sensor_id = $1 AND time >= $2 AND time < $3 ORDER BY time LIMIT $4",
        )
        .bind(self.query.sensor_id)
        .bind(parameter(start))
        .bind(parameter(end))
        .bind(most as i64 + 1)
        .fetch_all(&mut **self.transaction)
        .await?;
        let point = |(time, value): (DateTime<Utc>, f64)| {
            (Timestamp::from_micros(time.timestamp_micros()), Envelope::of(value))
        };
        Ok((readings.len() <= most).then(|| readings.into_iter().map(point).collect()))
    }

    /// Sums up the readings of a range by bucket.
    async fn sum_up(
        &mut self,
        start: Timestamp,
        end: Timestamp,
        step: Step,
        envelopes: &mut Envelopes,
    ) -> Result<(), sqlx::Error> {
        let query = StatsQuery {
            sensor_ids: vec![self.query.sensor_id],
            by_sensor: true,
            start,
            end,
            edges: step.edges(start, end),
            measures: MEASURES.to_vec(),
        };
        let stats = query.run(&mut *self.transaction, &Columns::new(&MEASURES), self.precision).await?;
        for bucket in stats {
            let value = |place: usize| bucket.values.get(place).copied().flatten().unwrap_or(f64::NAN);
            let envelope = Envelope { count: value(0) as i64, min: value(1), max: value(2), avg: value(3) };
            envelopes.add(query.edges[bucket.bucket], envelope);
        }
        Ok(())
    }

    /// What is kept of the days of a range; without the quarter-hours where those are not drawn.
    async fn kept(
        &mut self,
        start: Timestamp,
        end: Timestamp,
        source: Source,
    ) -> Result<Vec<Kept>, sqlx::Error> {
        sqlx::query_as(
            "SELECT day, is_final, reading_count, min_value, max_value, avg_value,
                    CASE WHEN $4 THEN quarter_hours END AS quarter_hours
             FROM daily_stats
             WHERE sensor_id = $1 AND day >= $2::timestamptz::date AND day <= $3::timestamptz::date ORDER BY day",
        )
        .bind(self.query.sensor_id)
        .bind(parameter(start))
        .bind(parameter(end))
        .bind(source == Source::QuarterHours)
        .fetch_all(&mut **self.transaction)
        .await
    }

    /// The first and the last day with readings of each of these runs of days, first and last; runs without any are
    /// left out.
    async fn extents(
        &mut self,
        runs: &[(NaiveDate, NaiveDate)],
    ) -> Result<Vec<(NaiveDate, NaiveDate)>, sqlx::Error> {
        let (Some((first, _)), Some((_, last))) = (runs.first(), runs.last()) else { return Ok(vec![]) };
        let (starts, ends): (Vec<_>, Vec<_>) = runs
            .iter()
            .map(|&(first, last)| (midnight(first), midnight(last) + chrono::TimeDelta::days(1)))
            .unzip();
        // The bounds leave out all other chunks, each run's own make it a range of the key.
        sqlx::query_as(
            "SELECT first.time::date, last.time::date
             FROM unnest($2::timestamptz[], $3::timestamptz[]) AS run (run_start, run_end)
             CROSS JOIN LATERAL (SELECT time FROM sensor_data
                                 WHERE sensor_id = $1 AND time >= $4 AND time < $5
                                   AND time >= run_start AND time < run_end ORDER BY time LIMIT 1) AS first
             CROSS JOIN LATERAL (SELECT time FROM sensor_data
                                 WHERE sensor_id = $1 AND time >= $4 AND time < $5
                                   AND time >= run_start AND time < run_end ORDER BY time DESC LIMIT 1) AS last
             ORDER BY 1",
        )
        .bind(self.query.sensor_id)
        .bind(starts)
        .bind(ends)
        .bind(midnight(*first))
        .bind(midnight(*last) + chrono::TimeDelta::days(1))
        .fetch_all(&mut **self.transaction)
        .await
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
