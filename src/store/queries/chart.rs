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

use std::{collections::BTreeMap, ops::Range};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use self::days::{Days, Kept};
use super::{
    Measure, StatsQuery,
    ends::{first_time, last_time},
    parameter, windows,
};
use crate::{
    buckets::{Envelope, Envelopes, Step},
    reading::Timestamp,
    store::{
        StoreError,
        chunk_spans::ChunkSpans,
        day::{midnight, start_of},
        pool::Pool,
        read_snapshot::{BEGIN_SNAPSHOT, release_locks},
    },
};

/// From this length on, readings are not summed up any more but what is kept of them: 1 Hz makes 350,000 of them.
const READINGS_MAX_MICROS: i64 = 4 * DAY_MICROS;
const DAY_MICROS: i64 = 86_400_000_000;
const DAY: TimeDelta = TimeDelta::days(1);

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
    pool.read_by_spans("reading a chart", query, |connection, query, spans| {
        Box::pin(in_snapshot(connection, query, spans))
    })
    .await
}

async fn in_snapshot(
    connection: &mut PgConnection,
    query: ChartQuery,
    spans: ChunkSpans,
) -> Result<Option<Chart>, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN_SNAPSHOT).await?;
    let mut snapshot = Snapshot { transaction: &mut transaction, query: &query, spans: &spans };
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
    spans: &'s ChunkSpans,
}

impl Snapshot<'_, '_> {
    /// The range asked for, its open ends where the readings end, or the days whose readings retention has dropped.
    async fn range(&mut self) -> Result<Option<(Timestamp, Timestamp)>, sqlx::Error> {
        if let (Some(start), Some(end)) = (self.query.start, self.query.end) {
            return Ok(Some((start, end)));
        }
        let (first_final, last_final) = self.final_days().await?;
        let of = |time: DateTime<Utc>| Timestamp::from_micros(time.timestamp_micros());
        let all = windows::BEGINNING..windows::END;
        let (mut first, mut last) = (first_final.map(of), last_final.map(of));
        if self.query.start.is_none() {
            let found = first_time(self.transaction, self.query.sensor_id, all.clone(), self.spans).await?;
            first = first.into_iter().chain(found).min();
        }
        if self.query.end.is_none() {
            let found = last_time(self.transaction, self.query.sensor_id, all, self.spans).await?;
            last = last.into_iter().chain(found).max();
        }
        Ok(match (self.query.start, self.query.end, first, last) {
            (Some(start), _, _, Some(last)) => Some((start, last.plus_micros(1).max(start.plus_micros(1)))),
            (_, Some(end), Some(first), _) => Some((first.min(end.plus_micros(-1)), end)),
            (_, _, Some(first), Some(last)) => Some((first, last.plus_micros(1))),
            _ => None,
        })
    }

    /// When the first final day begins and the last one ends, where what is kept is used.
    async fn final_days(&mut self) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), sqlx::Error> {
        sqlx::query_as(
            "SELECT min(day)::timestamptz, max(day)::timestamptz + interval '24 hours' FROM daily_stats
             WHERE sensor_id = $1 AND is_final AND $2",
        )
        .bind(self.query.sensor_id)
        .bind(self.query.uses_kept)
        .fetch_one(&mut **self.transaction)
        .await
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
        .bind(parameter(last_moment(end)))
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
        let mut points = Vec::new();
        for span in self.spans.split(start..end) {
            let readings: Vec<(DateTime<Utc>, f64)> = sqlx::query_as(
                "SELECT time, value FROM sensor_data
                 WHERE sensor_id = $1 AND time >= $2 AND time < $3 ORDER BY time LIMIT $4",
            )
            .bind(self.query.sensor_id)
            .bind(parameter(span.start))
            .bind(parameter(span.end))
            .bind((most + 1 - points.len()) as i64)
            .fetch_all(&mut **self.transaction)
            .await?;
            release_locks(self.transaction).await?;
            points.extend(
                readings.into_iter().map(|(time, value)| {
                    (Timestamp::from_micros(time.timestamp_micros()), Envelope::of(value))
                }),
            );
            if points.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(points))
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
        let stats = query.run(&mut *self.transaction, self.spans).await?;
        for bucket in stats {
            let value = |place: usize| bucket.values.get(place).copied().flatten().unwrap_or(f64::NAN);
            let envelope = Envelope { count: value(0) as i64, min: value(1), max: value(2), avg: value(3) };
            envelopes.add(query.edges[bucket.bucket], envelope);
        }
        Ok(())
    }

    /// What is kept of the days that a range reaches into; without the quarter-hours where those are not drawn. Of a
    /// final day that the range cuts, they always are.
    async fn kept(
        &mut self,
        start: Timestamp,
        end: Timestamp,
        source: Source,
    ) -> Result<Vec<Kept>, sqlx::Error> {
        sqlx::query_as(
            "SELECT day, is_final, reading_count, min_value, max_value, avg_value,
                    CASE WHEN $4 OR is_final AND (day::timestamptz < $2 OR day::timestamptz + interval '24 hours' > $3)
                         THEN quarter_hours END AS quarter_hours
             FROM daily_stats
             WHERE sensor_id = $1 AND day >= $2::timestamptz::date AND day <= $3::timestamptz::date ORDER BY day",
        )
        .bind(self.query.sensor_id)
        .bind(parameter(start))
        .bind(parameter(last_moment(end)))
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
        let mut extents: BTreeMap<i64, (NaiveDate, NaiveDate)> = BTreeMap::new();
        for span in self.spans.split(start_of(*first)..start_of(*last + DAY)) {
            for (run, first, last) in self.extents_within(runs, &span).await? {
                let extent = extents.entry(run).or_insert((first, last));
                *extent = (extent.0.min(first), extent.1.max(last));
            }
            release_locks(self.transaction).await?;
        }
        Ok(extents.into_values().collect())
    }

    /// The same of one span, as far as runs reach into it, with the place of each run.
    async fn extents_within(
        &mut self,
        runs: &[(NaiveDate, NaiveDate)],
        span: &Range<Timestamp>,
    ) -> Result<Vec<(i64, NaiveDate, NaiveDate)>, sqlx::Error> {
        let (starts, ends): (Vec<_>, Vec<_>) =
            runs.iter().map(|&(first, last)| (midnight(first), midnight(last + DAY))).unzip();
        // The bounds leave out all other chunks, each run's own make it a range of the key.
        sqlx::query_as(
            "SELECT place, first.time::date, last.time::date
             FROM unnest($2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS run (run_start, run_end, place)
             CROSS JOIN LATERAL (SELECT time FROM sensor_data
                                 WHERE sensor_id = $1 AND time >= $4 AND time < $5
                                   AND time >= run_start AND time < run_end ORDER BY time LIMIT 1) AS first
             CROSS JOIN LATERAL (SELECT time FROM sensor_data
                                 WHERE sensor_id = $1 AND time >= $4 AND time < $5
                                   AND time >= run_start AND time < run_end ORDER BY time DESC LIMIT 1) AS last
             WHERE run_start < $5 AND run_end > $4",
        )
        .bind(self.query.sensor_id)
        .bind(starts)
        .bind(ends)
        .bind(parameter(span.start))
        .bind(parameter(span.end))
        .fetch_all(&mut **self.transaction)
        .await
    }
}

/// The last microsecond before `end`, whose day is the last one that a range reaches into.
fn last_moment(end: Timestamp) -> Timestamp {
    end.plus_micros(-1)
}
