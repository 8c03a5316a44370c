//! Every way to a day's statistics has the same answer for any doubles: Postgres' own where it has one, else the exact one,
//! rounded once.

#![expect(clippy::float_cmp, reason = "answers are equal to the last bit")]

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rand::{Rng, rngs::StdRng};
use sensorpipe::{
    config::{RebuildConfig, RetentionStats},
    reading::Timestamp,
    store::{
        drop_expired,
        queries::{BucketStats, Measure, StatsQuery, stats},
        stats::{DayStats, Reach, StatsStore, daily_avg, roll_up_quarter_hours, sweep},
    },
};
use testbed::config;

use crate::{
    bench::{Bench, at, today},
    dice,
    doubles::{Values, any_values, percentile},
    nearest::is_nearest,
};

const SENSORS: i32 = 12;
/// And today.
const DAYS: u64 = 7;
/// So many readings a day of sensor 1 that its chart is not drawn of them.
const MANY: usize = 250;

/// What Postgres says itself; none where it has no answer.
async fn of_postgres(bench: &Bench, aggregate: &str, values: &Values) -> Option<f64> {
    let sql = format!("SELECT {aggregate}(value) FROM unnest($1::float8[]) AS value");
    let answer: Result<Option<f64>, sqlx::Error> =
        sqlx::query_scalar(&sql).bind(values).fetch_one(&bench.database.pool).await;
    match answer {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22003") => None,
        answer => answer.unwrap(),
    }
}

/// What a day has to come to.
struct Expected {
    values: Values,
    mean_of_postgres: Option<f64>,
    sum_of_postgres: Option<f64>,
    deviation_of_postgres: Option<f64>,
}

impl Expected {
    /// Whether two answers of Postgres differ by no more than another order of the same values makes.
    fn is_reordered(&self, one: f64, other: f64) -> bool {
        let largest = self.values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        one == other || (one / largest - other / largest).abs() <= 1e-10
    }

    fn is_mean(&self, mean: f64, name: &str) {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if let Some(expected) = self.mean_of_postgres {
            assert!(mean == expected, "{name}: {mean:e}, Postgres {expected:e}");
        } else {
            let is_nearest = is_nearest(mean, &self.values, self.values.len());
            assert!(is_nearest, "{name}: {mean:e} {:?}", self.values);
            assert!(least <= mean && mean <= most, "{name}: {mean:e} beyond {least:e} or {most:e}");
        }
    }

    fn is_sum(&self, sum: Option<f64>, name: &str) {
        match (self.sum_of_postgres, sum) {
            (Some(expected), sum) => assert!(sum == Some(expected), "{name}: {sum:?}, Postgres {expected:e}"),
            (None, Some(sum)) => {
                assert!(is_nearest(sum, &self.values, 1), "{name}: {sum:e} {:?}", self.values);
            }
            // It is past the largest double.
            (None, None) => {
                let past = |end| is_nearest(end, &self.values, 1);
                assert!(!past(f64::MAX) && !past(f64::MIN), "{name}: no sum of {:?}", self.values);
            }
        }
    }

    fn is_day(&self, day: &DayStats, name: &str) {
        self.is_mean(day.avg_value, name);
        assert_eq!(day.reading_count, self.values.len() as i64, "{name}");
        for (told, share) in [
            (day.min_value, 0.0),
            (day.lower_quartile, 0.25),
            (day.median_value, 0.5),
            (day.upper_quartile, 0.75),
            (day.max_value, 1.0),
        ] {
            let expected = percentile(&self.values, share);
            assert!(
                told == expected,
                "{name}: {told:e} instead of {expected:e} at {share} of {:?}",
                self.values
            );
        }
    }
}

type Days = BTreeMap<(i32, NaiveDate), Expected>;

async fn filled(bench: &Bench, dice: &mut StdRng) -> Days {
    let mut days = Days::new();
    for sensor_id in 1..=SENSORS {
        for days_ago in 0..=DAYS {
            // Enough of today that no chart is drawn of single readings.
            let count = match (sensor_id, days_ago) {
                (1, _) => MANY,
                (_, 0) => 20,
                _ => dice.random_range(1..12),
            };
            let values = any_values(dice, count);
            let times: Vec<_> =
                (0..count as i64).map(|second| at(days_ago, second).to_datetime().unwrap()).collect();
            sqlx::query("INSERT INTO sensor_data (sensor_id, value, time) SELECT $1, * FROM unnest($2::float8[], $3::timestamptz[])")
                .bind(sensor_id)
                .bind(&values)
                .bind(times)
                .execute(&bench.database.pool)
                .await
                .unwrap();
            let expected = Expected {
                mean_of_postgres: of_postgres(bench, "avg", &values).await,
                sum_of_postgres: of_postgres(bench, "sum", &values).await,
                deviation_of_postgres: of_postgres(bench, "stddev_samp", &values).await,
                values,
            };
            days.insert((sensor_id, day_of(at(days_ago, 0))), expected);
        }
    }
    days
}

fn day_of(time: Timestamp) -> NaiveDate {
    time.to_datetime().unwrap().date_naive()
}

/// Of the days that are kept, their statistics and the mean of their only quarter-hour.
async fn kept_are_right(bench: &Bench, days: &Days, count: usize, way: &str) {
    #[derive(sqlx::FromRow)]
    struct Kept {
        sensor_id: i32,
        #[sqlx(flatten)]
        day: DayStats,
        quarter_hours: Vec<f64>,
    }
    let kept: Vec<Kept> =
        sqlx::query_as("SELECT * FROM daily_stats").fetch_all(&bench.database.pool).await.unwrap();
    assert_eq!(kept.len(), count, "{way}");
    for Kept { sensor_id, day, quarter_hours } in kept {
        let (expected, name) = (&days[&(sensor_id, day.day)], format!("{way}: {sensor_id} {}", day.day));
        expected.is_day(&day, &name);
        let figures = [0.0, expected.values.len() as f64, day.min_value, day.max_value];
        assert_eq!(quarter_hours[..4], figures, "{name}");
        expected.is_mean(quarter_hours[4], &name);
    }
}

/// By day or quarter-hour, of each sensor alone or of all at once.
async fn stats_are_right(bench: &Bench, days: &Days, sensor_ids: Vec<i32>, buckets_a_day: i64) {
    let measures = ["avg", "sum", "median", "min", "max", "stddev"].map(|name| Measure::named(name).unwrap());
    let start = at(DAYS, 0);
    let length = 86_400_000_000 / buckets_a_day;
    let buckets = (DAYS as i64 + 1) * buckets_a_day;
    let query = StatsQuery {
        by_sensor: true,
        start,
        end: at(0, 86_400),
        edges: (0..=buckets).map(|n| start.plus_micros(n * length)).collect(),
        measures: measures.to_vec(),
        sensor_ids: sensor_ids.clone(),
    };
    // For quantiles Postgres sorts what it groups, which leaves a bucket's readings in no order.
    let is_sorted = query.sensor_ids.len() > 1;
    let edges = query.edges.clone();
    let found = stats(&bench.pool, query).await.unwrap();
    assert_eq!(found.len(), sensor_ids.len() * (DAYS as usize + 1));
    for BucketStats { sensor_id, bucket, values } in found {
        let day = day_of(edges[bucket]);
        let (expected, name) = (&days[&(sensor_id, day)], format!("stats: {sensor_id} {day}"));
        let (mean, sum) = (values[0].unwrap(), values[1]);
        match expected.mean_of_postgres {
            Some(of_postgres) if is_sorted => {
                assert!(expected.is_reordered(mean, of_postgres), "{name}: {mean:e}");
            }
            _ => expected.is_mean(mean, &name),
        }
        match expected.sum_of_postgres.zip(sum) {
            Some((of_postgres, sum)) if is_sorted => {
                assert!(expected.is_reordered(sum, of_postgres), "{name}: {sum:e}");
            }
            _ => expected.is_sum(sum, &name),
        }
        for (value, share) in [(values[2], 0.5), (values[3], 0.0), (values[4], 1.0)] {
            assert_eq!(value, Some(percentile(&expected.values, share)), "{name}");
        }
        match expected.deviation_of_postgres {
            Some(of_postgres) if !is_sorted => assert_eq!(values[5], Some(of_postgres), "{name}"),
            _ => assert!(values[5].is_none_or(|deviation| deviation >= 0.0), "{name}: {values:?}"),
        }
    }
}

/// Of all sensors together, where no order of the readings is given.
async fn stats_of_all_are_right(bench: &Bench, days: &Days) {
    let start = at(DAYS, 0);
    let query = StatsQuery {
        sensor_ids: (1..=SENSORS).collect(),
        by_sensor: false,
        start,
        end: at(0, 86_400),
        edges: (0..=DAYS as i64 + 1).map(|n| start.plus_micros(n * 86_400_000_000)).collect(),
        measures: vec![Measure::Avg],
    };
    let edges = query.edges.clone();
    let found = stats(&bench.pool, query).await.unwrap();
    assert_eq!(found.len(), DAYS as usize + 1);
    for BucketStats { bucket, values: measured, .. } in found {
        let day = day_of(edges[bucket]);
        let values: Values =
            days.iter().filter(|((_, of), _)| *of == day).flat_map(|(_, all)| all.values.clone()).collect();
        let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let mean = values.iter().map(|value| value / largest).sum::<f64>() / values.len() as f64;
        let told = measured[0].unwrap();
        assert!((told / largest - mean).abs() <= 1e-10, "{day}: {told:e}, not {mean} of {largest:e}");
    }
}

/// Each point of these charts is one day.
async fn charts_are_right(bench: &Bench, days: &Days, sensor_id: i32, width: usize) {
    let chart = bench.chart(sensor_id, DAYS, width).await;
    let name = format!("chart: {sensor_id}, {:?} by {:?}", chart.source, chart.step);
    assert!(chart.step.is_some() && chart.points.len() == DAYS as usize + 1, "{name}");
    for (time, point) in chart.points {
        let expected = &days[&(sensor_id, day_of(time))];
        expected.is_mean(point.avg, &name);
        assert_eq!(
            (point.count, point.min, point.max),
            (
                expected.values.len() as i64,
                percentile(&expected.values, 0.0),
                percentile(&expected.values, 1.0)
            ),
            "{name}"
        );
    }
}

#[tokio::test]
async fn any_doubles_have_statistics_and_the_same_by_every_way() {
    let mut dice = dice("any_doubles_have_statistics_and_the_same_by_every_way");
    let bench = Bench::new(SENSORS).await;
    let days = filled(&bench, &mut dice).await;
    let failing = days.values().filter(|day| day.mean_of_postgres.is_none()).count();
    assert!(failing > 10 && failing < days.len(), "Postgres refuses {failing} of {} days", days.len());

    let newest = async |sensor_id: i32, fills, way: &str| {
        let found = daily_avg(&bench.pool, fills, sensor_id).await.unwrap();
        assert_eq!(found.len(), 7, "{way}: sensor {sensor_id}");
        for day in found {
            days[&(sensor_id, day.day)].is_day(&day, &format!("{way}: {sensor_id} {}", day.day));
        }
    };
    for sensor_id in 1..=SENSORS {
        newest(sensor_id, None, "rollups off").await;
        newest(sensor_id, Some(&bench.pool), "first call").await;
        newest(sensor_id, Some(&bench.pool), "second call").await;
        stats_are_right(&bench, &days, vec![sensor_id], 1).await;
        // Two days of it are read, the others are missing as yet.
        assert!(!bench.chart(sensor_id, DAYS, 2).await.points.is_empty());
    }
    // In one pass, for it is too many buckets to be looked up one by one.
    stats_are_right(&bench, &days, (1..=SENSORS).collect(), 96).await;

    stats_of_all_are_right(&bench, &days).await;

    // A sweep rests longer than it works; so of all sensors but one, days are kept as the api keeps them.
    for (sensor_id, day) in days.keys().filter(|(sensor_id, day)| *sensor_id > 1 && *day < today()) {
        roll_up_quarter_hours(&bench.pool, *sensor_id, *day).await.unwrap();
    }
    let swept = sweep(&bench.database.config(), Reach::All).await.unwrap();
    assert!(swept.failed.any().is_none());
    let over = SENSORS as usize * DAYS as usize;
    kept_are_right(&bench, &days, over, "swept").await;
    charts_are_right(&bench, &days, 1, 800).await;
    for sensor_id in 1..=SENSORS {
        charts_are_right(&bench, &days, sensor_id, 8).await;
    }

    let mut store = StatsStore::connect(&bench.database.config()).await.unwrap();
    let rebuilt = store.rebuild(&config::<RebuildConfig>(&[])).await.unwrap();
    assert_eq!((rebuilt.forgotten, rebuilt.kept), (over, over));
    kept_are_right(&bench, &days, over, "rebuilt").await;

    bench.database.execute("DELETE FROM daily_stats").await;
    let expiry = drop_expired(&bench.database.config(), at(0, 0), RetentionStats::Keep).await;
    assert!(!expiry.dropped.is_empty() && expiry.failed.any().is_none() && expiry.error.is_none());
    let finals: Vec<(i32, DayStats)> = finals(&bench).await;
    assert!(finals.iter().any(|(_, day)| day.day < today()));
    for (sensor_id, day) in finals {
        days[&(sensor_id, day.day)].is_day(&day, &format!("retention: {sensor_id} {}", day.day));
    }
}

async fn finals(bench: &Bench) -> Vec<(i32, DayStats)> {
    #[derive(sqlx::FromRow)]
    struct Final {
        sensor_id: i32,
        #[sqlx(flatten)]
        day: DayStats,
    }
    let finals: Vec<Final> = sqlx::query_as("SELECT * FROM daily_stats WHERE is_final")
        .fetch_all(&bench.database.pool)
        .await
        .unwrap();
    finals.into_iter().map(|Final { sensor_id, day }| (sensor_id, day)).collect()
}

#[tokio::test]
async fn what_earlier_versions_kept_of_huge_values_is_forgotten() {
    let bench = Bench::new(3).await;
    bench
        .database
        .execute(&format!(
            "INSERT INTO daily_stats (sensor_id, day, avg_value, min_value, max_value, reading_count,
                                      lower_quartile, median_value, upper_quartile, is_final)
             SELECT sensor, '{}', 1, -max, max, 2, '-infinity', 'infinity', 'infinity', sensor = 2
             FROM (VALUES (1, 1.7e308::float8), (2, 1.7e308), (3, 9)) AS kept (sensor, max)",
            day_of(at(1, 0))
        ))
        .await;
    bench.database.execute(include_str!("../../migrations/0020_forget_days_with_huge_values.sql")).await;
    let left: Vec<i32> = sqlx::query_scalar("SELECT sensor_id FROM daily_stats ORDER BY 1")
        .fetch_all(&bench.database.pool)
        .await
        .unwrap();
    assert_eq!(left, [2, 3], "final days stay, and ordinary ones");
}
