//! Which chunks a query touches: by its plan, with the parameters bound as the api binds them, and by what the
//! server counted while the api asked.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sensorpipe::{
    buckets::{Bucket, Zone, edges},
    reading::Timestamp,
    store::queries::{LATEST_SQL, Measure, Order, StatsQuery},
};
use sqlx::{PgConnection, Row};
use testbed::{TestDatabase, comes_to};

use crate::site::{PATIENCE, Site};

/// Sensors 1 to 10 with a reading every six hours of 2026's first 20 weeks: 21 chunks of a week each. Sensor 1 goes on
/// for an hour of seconds on 1 April.
async fn fill(database: &TestDatabase) {
    database.add_sensors(10).await;
    database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT n, 1, time FROM generate_series(1, 10) AS n,
                    generate_series('2026-01-01Z'::timestamptz, '2026-05-20Z', '6 hours') AS time;
             INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, 1, time FROM generate_series('2026-04-01T00:00:01Z'::timestamptz, '2026-04-01T00:59:59Z', '1 second') AS time;
             ANALYZE sensor_data",
        )
        .await;
    let chunks = database.number("SELECT count(*) FROM show_chunks('sensor_data')").await;
    assert!(chunks >= 20, "{chunks}");
}

async fn chunks_of_range(database: &TestDatabase, start: &str, end: &str) -> BTreeSet<String> {
    let sql = "SELECT chunk_name::text FROM timescaledb_information.chunks
                WHERE hypertable_name = 'sensor_data' AND range_start < $2::text::timestamptz
                  AND range_end > $1::text::timestamptz";
    let names: Vec<String> =
        sqlx::query_scalar(sql).bind(start).bind(end).fetch_all(&database.pool).await.unwrap();
    assert!(!names.is_empty());
    names.into_iter().collect()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn bound(text: &str) -> DateTime<Utc> {
    time(text).to_datetime().unwrap()
}

/// The chunks in a plan.
async fn planned(
    connection: &mut PgConnection,
    sql: &str,
    bind: impl for<'q> Fn(
        sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
) -> BTreeSet<String> {
    let explain = format!("EXPLAIN {sql}");
    let mut chunks = BTreeSet::new();
    // As often as it takes Postgres to think of a plan for any parameters.
    for _ in 0..8 {
        let lines = bind(sqlx::query(&explain)).fetch_all(&mut *connection).await.unwrap();
        for line in lines {
            let line: String = line.get(0);
            let words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            chunks.extend(
                words
                    .filter(|word| word.starts_with("_hyper_") && word.ends_with("_chunk"))
                    .map(str::to_owned),
            );
        }
    }
    chunks
}

#[tokio::test]
async fn a_plan_holds_the_chunks_of_the_range_alone() {
    let database = TestDatabase::create().await;
    fill(&database).await;
    let (start, end) = ("2026-03-29T12:00:00Z", "2026-04-08T12:00:00Z");
    let expected = chunks_of_range(&database, start, end).await;
    assert!((2..=3).contains(&expected.len()), "{expected:?}");
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::query("SET plan_cache_mode = force_custom_plan").execute(&mut *connection).await.unwrap();
    for (bucket, sensor_ids, by_sensor) in [
        // Looked up one by one, and read in one pass.
        (Bucket::Day, vec![1], true),
        (Bucket::Seconds(900), vec![1], true),
        (Bucket::Day, (1..=10).collect(), true),
        (Bucket::Day, (1..=10).collect::<Vec<i32>>(), false),
    ] {
        let query = StatsQuery {
            sensor_ids,
            by_sensor,
            start: time(start),
            end: time(end),
            edges: edges(bucket, &Zone::named("Europe/Berlin").unwrap(), time(start), time(end), 10_000)
                .unwrap(),
            measures: vec![Measure::Count, Measure::Avg, Measure::Iqr],
        };
        let edges: Vec<DateTime<Utc>> = query.edges.iter().map(|edge| edge.to_datetime().unwrap()).collect();
        let chunks = planned(&mut connection, &query.sql(), |explain| {
            explain.bind(query.sensor_ids.clone()).bind(bound(start)).bind(bound(end)).bind(edges.clone())
        })
        .await;
        assert_eq!(chunks, expected, "{bucket} {by_sensor}");
    }
    for order in [Order::Ascending, Order::Descending] {
        let chunks = planned(&mut connection, order.sql(), |explain| {
            explain.bind(1_i32).bind(bound(start)).bind(bound(end)).bind(1_000_i64)
        })
        .await;
        assert_eq!(chunks, expected, "{order:?}");
    }
    let chunks = planned(&mut connection, LATEST_SQL, |explain| {
        explain.bind(vec![1_i32, 2]).bind(bound(start)).bind(bound(end))
    })
    .await;
    assert_eq!(chunks, expected);
}

/// How often each chunk was scanned so far; the api's connections have to be gone for their counts to be there.
async fn scans(database: &TestDatabase) -> BTreeSet<(String, i64)> {
    let others =
        "pg_stat_activity WHERE datname = current_database() AND application_name = 'sensorpipe api reads'";
    database.execute(&format!("SELECT pg_terminate_backend(pid) FROM {others}")).await;
    comes_to("the api's connections", PATIENCE, 0, async || {
        database.number(&format!("SELECT count(*) FROM {others}")).await
    })
    .await;
    let sql = "SELECT relname::text, coalesce(idx_scan, 0) + coalesce(seq_scan, 0)
                 FROM pg_stat_user_tables WHERE relname LIKE '\\_hyper\\_%'";
    sqlx::query_as(sql).fetch_all(&database.pool).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn the_api_scans_the_chunks_of_the_range_alone() {
    let site = Site::start().await;
    let database = &site.database;
    fill(database).await;
    // What filling has scanned is counted when its session has time for it.
    let mut counted = scans(database).await;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let now = scans(database).await;
        if std::mem::replace(&mut counted, now.clone()) == now {
            break;
        }
    }
    let range = "start=2026-03-29T12:00:00Z&end=2026-04-08T12:00:00Z";
    let expected = chunks_of_range(database, "2026-03-29T12:00Z", "2026-04-08T12:00Z").await;
    let newest = chunks_of_range(database, "2026-05-19T00:00Z", "2026-05-20T00:00Z").await;
    for (path, accept, expected) in [
        (format!("/sensors/1/stats?bucket=1d&measures=avg,p95&{range}"), "*/*", &expected),
        (format!("/sensors/1/stats?bucket=15m&{range}"), "*/*", &expected),
        (format!("/sensors/stats?bucket=1d&group=all&{range}"), "*/*", &expected),
        (format!("/sensors/stats?bucket=1h&{range}"), "*/*", &expected),
        (format!("/sensors/1/readings?limit=10000&{range}"), "*/*", &expected),
        (format!("/sensors/1/readings?{range}"), "text/csv", &expected),
        // The newest are found without looking at anything older.
        ("/sensors/1/latest".to_owned(), "*/*", &newest),
        ("/sensors/latest".to_owned(), "*/*", &newest),
        ("/sensors/1/readings?limit=2".to_owned(), "*/*", &newest),
    ] {
        let before = scans(database).await;
        let answer = site.server.get_as(accept, &path).await.expect(200);
        assert!(answer.text.len() > 100 || path.ends_with("latest"), "{path}: {}", answer.text);
        let after = scans(database).await;
        let scanned: BTreeSet<String> = after.difference(&before).map(|(chunk, _)| chunk.clone()).collect();
        assert_eq!(&scanned, expected, "{path}");
    }
}
