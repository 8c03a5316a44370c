//! What the api asks, each question of the whole table.

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use sensorpipe::{
    buckets::{Bucket, Zone, edges},
    reading::Timestamp,
    store::{
        Pool,
        queries::{self, BucketStats, ChartQuery, Measure, Order, PageQuery, StatsQuery},
        stats::daily_avg,
    },
};
use sqlx::Row;
use testbed::config;

use crate::table::{BUSY, OLD, SILENT, Table};

const BUCKETS_MAX: usize = 20_000;

fn of(time: DateTime<Utc>) -> Timestamp {
    Timestamp::from_micros(time.timestamp_micros())
}

fn end(table: &Table) -> DateTime<Utc> {
    table.today.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1)
}

pub(crate) async fn latest(table: &Table) {
    let latest = queries::latest(&table.pool, vec![BUSY, SILENT, OLD]).await.unwrap();
    let found: Vec<_> = latest.iter().map(|reading| (reading.sensor_id, reading.time)).collect();
    let evening = end(table) - TimeDelta::hours(6);
    assert_eq!(found, [(BUSY, of(evening)), (OLD, of(table.start))]);
}

pub(crate) async fn pages(table: &Table) {
    let page = |sensor_id, order, limit| PageQuery { sensor_id, start: None, end: None, order, limit };
    for order in [Order::Ascending, Order::Descending] {
        let read = queries::readings(&table.pool, page(OLD, order, 10)).await.unwrap();
        assert_eq!(read.iter().map(|reading| reading.time).collect::<Vec<_>>(), [of(table.start)]);
        assert_eq!(queries::readings(&table.pool, page(SILENT, order, 10)).await.unwrap(), []);
        let read = queries::readings(&table.pool, page(BUSY, order, 1_000_000)).await.unwrap();
        assert!(read.len() > 1_000, "{}", read.len());
        assert!(read.windows(2).all(|pair| match order {
            Order::Ascending => pair[0].time < pair[1].time,
            Order::Descending => pair[0].time > pair[1].time,
        }));
    }
}

pub(crate) async fn newer(table: &Table) {
    let evening = end(table) - TimeDelta::hours(7);
    let after =
        vec![(BUSY, of(evening)), (SILENT, Timestamp::from_micros(0)), (OLD, Timestamp::from_micros(0))];
    let newer = queries::newer(&table.pool, after, 5).await.unwrap();
    let found: Vec<_> = newer.iter().map(|reading| reading.sensor_id).collect();
    assert_eq!(found, [BUSY, OLD]);
    let newest = queries::newer(&table.pool, vec![(BUSY, Timestamp::from_micros(0))], 3).await.unwrap();
    assert_eq!(newest.len(), 3);
    assert!(newest.windows(2).all(|pair| pair[0].time < pair[1].time));
}

fn stats_query(table: &Table, bucket: Bucket, measures: Vec<Measure>) -> StatsQuery {
    let (start, end) = (of(table.start), of(end(table)));
    StatsQuery {
        sensor_ids: vec![BUSY],
        by_sensor: true,
        start,
        end,
        edges: edges(bucket, &Zone::UTC, start, end, BUCKETS_MAX).unwrap(),
        measures,
    }
}

pub(crate) async fn statistics_by_day(table: &Table) {
    let measures = vec![Measure::Count, Measure::named("median").unwrap()];
    let query = stats_query(table, Bucket::Day, measures);
    let days = query.edges.len() - 1;
    let stats = queries::stats(&table.pool, query).await.unwrap();
    assert_eq!(stats.len(), days, "a bucket for each day");
    assert!(stats.windows(2).all(|pair| pair[0].bucket < pair[1].bucket));
}

/// A year has 730 chunks, more than are asked about at once: what comes of its parts is held against Postgres' own
/// aggregates over the whole of it.
pub(crate) async fn statistics_by_year(table: &Table) {
    const NAMES: [&str; 11] =
        ["count", "min", "max", "sum", "avg", "stddev", "first", "last", "median", "iqr", "p99.9"];
    const SQL: &str = "SELECT ARRAY[count(*), min(value), max(value), sum(value), avg(value), stddev_samp(value),
            first(value, time), last(value, time), percentile_cont(0.5) WITHIN GROUP (ORDER BY value),
            percentile_cont(0.75) WITHIN GROUP (ORDER BY value) - percentile_cont(0.25) WITHIN GROUP (ORDER BY value),
            percentile_cont(0.999) WITHIN GROUP (ORDER BY value)]::float8[]
        FROM sensor_data WHERE sensor_id = $1 AND time >= $2 AND time < $3";
    let measures = NAMES.map(|name| Measure::named(name).unwrap()).to_vec();
    for by_sensor in [true, false] {
        let query = StatsQuery { by_sensor, ..stats_query(table, Bucket::Months(12), measures.clone()) };
        let edges = query.edges.clone();
        let stats: Vec<BucketStats> = queries::stats(&table.pool, query).await.unwrap();
        assert_eq!(stats.len(), edges.len() - 1);
        let years = table.today.year() - table.start.year() + 1;
        assert_eq!(stats.len(), years as usize);
        for found in stats {
            let edge = |place: usize| edges[found.bucket + place].to_datetime().unwrap();
            let row = sqlx::query(SQL)
                .bind(BUSY)
                .bind(edge(0))
                .bind(edge(1))
                .persistent(false)
                .fetch_one(&table.database.pool)
                .await
                .unwrap();
            let expected: Vec<Option<f64>> = row.get(0);
            for ((name, found), expected) in NAMES.iter().zip(&found.values).zip(expected) {
                let (found, expected) = (found.unwrap(), expected.unwrap());
                let is_same = (found - expected).abs() <= 1e-12 * expected.abs();
                assert!(is_same, "{name} of {}: {found}, not {expected}", edge(0));
            }
        }
    }
}

pub(crate) async fn charts(table: &Table) {
    let query = |sensor_id, start, end| ChartQuery {
        sensor_id,
        start,
        end,
        width: 500,
        uses_kept: true,
        today: table.today,
    };
    let chart = queries::chart(&table.pool, query(BUSY, None, None)).await.unwrap().unwrap();
    assert_eq!(chart.start, of(table.start + TimeDelta::hours(6)));
    assert!(!chart.missing.is_empty(), "nothing is kept yet");
    let chart = queries::chart(&table.pool, query(OLD, None, None)).await.unwrap().unwrap();
    assert_eq!((chart.start, chart.points.len()), (of(table.start), 1));
    assert!(queries::chart(&table.pool, query(SILENT, None, None)).await.unwrap().is_none());
    let range = (Some(of(table.start)), Some(of(end(table))));
    let chart = queries::chart(&table.pool, query(SILENT, range.0, range.1)).await.unwrap().unwrap();
    assert!(chart.points.is_empty());
    let all = ChartQuery { uses_kept: false, ..query(BUSY, None, None) };
    let chart = queries::chart(&table.pool, all).await.unwrap().unwrap();
    let days = (end(table) - table.start).num_days();
    let readings: i64 = chart.points.iter().map(|(_, point)| point.count).sum();
    assert!(readings >= 2 * days - 2, "{readings} in {days} days");
}

pub(crate) async fn newest_days(table: &Table) {
    for fills in [None, Some(Pool::new(&table.database.config()).unwrap())] {
        let days = daily_avg(&table.pool, fills.as_ref(), BUSY).await.unwrap();
        assert_eq!((days.len(), days[0].day), (7, table.today));
        let days = daily_avg(&table.pool, fills.as_ref(), OLD).await.unwrap();
        assert_eq!(days.iter().map(|day| day.day).collect::<Vec<_>>(), [table.start.date_naive()]);
        assert_eq!(daily_avg(&table.pool, fills.as_ref(), SILENT).await.unwrap(), []);
    }
}

/// As many at a time as there are connections.
pub(crate) async fn side_by_side(table: &Table) {
    let reads = config::<sensorpipe::config::DatabaseConfig>(&[]).database_pool_size;
    let asking: Vec<_> = (0..reads)
        .map(|n| {
            let (pool, query) = (table.pool.clone(), stats_query(table, Bucket::Day, vec![Measure::Count]));
            tokio::spawn(async move {
                if n % 2 == 0 {
                    queries::latest(&pool, vec![SILENT]).await.map(drop)
                } else {
                    queries::stats(&pool, query).await.map(drop)
                }
            })
        })
        .collect();
    for one in asking {
        one.await.unwrap().unwrap();
    }
}
