//! What the queries touch, by the database's own account.

use std::collections::BTreeSet;

use sensorpipe::store::{
    queries::LAST_TIME,
    stats::{DAYS_OF_WEEK, settled_statement},
};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testbed::TestDatabase;

use crate::bench::{at, today};

/// A year of chunks, a reading every six hours.
async fn year() -> TestDatabase {
    let database = TestDatabase::create().await;
    database.add_sensors(1).await;
    let (first, last) = (at(364, 0), at(0, 3_600));
    database
        .execute(&format!(
            "INSERT INTO sensor_data SELECT 1, 1, time FROM generate_series('{first}'::timestamptz, '{last}', '6 hours') AS time"
        ))
        .await;
    database
}

/// The nodes of a plan that read a chunk, with how often each was run.
async fn chunk_scans(
    database: &TestDatabase,
    plan_cache_mode: &str,
    sql: &str,
    types: &str,
    values: &str,
) -> Vec<(String, f64)> {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let prepared = format!(
        "SET timezone = 'UTC'; SET plan_cache_mode = {plan_cache_mode}; PREPARE asked ({types}) AS {sql}"
    );
    sqlx::raw_sql(&prepared).execute(&mut connection).await.unwrap();
    let plan: Value = sqlx::query_scalar(&format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({values})"))
        .persistent(false)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let mut scans = Vec::new();
    collect(&plan, &mut scans);
    scans
}

fn collect(node: &Value, scans: &mut Vec<(String, f64)>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| collect(node, scans)),
        Value::Object(fields) => {
            if let Some(name) = fields.get("Relation Name").and_then(Value::as_str)
                && name.starts_with("_hyper")
            {
                scans.push((name.to_owned(), fields["Actual Loops"].as_f64().unwrap()));
            }
            fields.values().for_each(|field| collect(field, scans));
        }
        _ => {}
    }
}

/// Chunks that overlap a range.
async fn chunks(database: &TestDatabase, since: &str, until: &str) -> BTreeSet<String> {
    sqlx::query_scalar(
        "SELECT chunk_name::text FROM timescaledb_information.chunks
         WHERE range_end > $1::text::timestamptz AND range_start < $2::text::timestamptz",
    )
    .bind(since)
    .bind(until)
    .fetch_all(&database.pool)
    .await
    .unwrap()
    .into_iter()
    .collect()
}

fn names(scans: &[(String, f64)]) -> BTreeSet<String> {
    scans.iter().map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn the_usual_case_knows_the_chunks_from_today_on_only() {
    let database = year().await;
    let all = chunks(&database, "-infinity", "infinity").await.len();
    assert!(all >= 52, "{all} chunks are no year");
    let recent = chunks(&database, &at(0, 0).to_string(), "infinity").await;
    assert!(recent.len() <= 2);
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let scans = chunk_scans(&database, mode, &settled_statement(today()), "int", "1").await;
        assert!(!scans.is_empty());
        assert!(names(&scans).is_subset(&recent), "{mode}: {scans:?} are not of {recent:?}");
    }
}

#[tokio::test]
async fn a_week_of_days_knows_its_chunks_only() {
    let database = year().await;
    let (since, until) = (at(200, 0).to_string(), at(193, 0).to_string());
    let of_that_week = chunks(&database, &since, &until).await;
    let values = format!("1, '{since}', '{until}', true");
    let scans = chunk_scans(
        &database,
        "force_custom_plan",
        DAYS_OF_WEEK,
        "int, timestamptz, timestamptz, bool",
        &values,
    )
    .await;
    assert_eq!(names(&scans), of_that_week);
}

/// Windows of time are asked one after the other, the newest first; the plan of one holds its chunks alone.
#[tokio::test]
async fn the_newest_day_is_looked_for_in_the_chunks_of_a_window() {
    let database = year().await;
    let (since, until) = (at(104, 0).to_string(), at(100, 0).to_string());
    let of_that_window = chunks(&database, &since, &until).await;
    let values = format!("1, '{since}', '{until}'");
    let scans =
        chunk_scans(&database, "force_custom_plan", LAST_TIME, "int, timestamptz, timestamptz", &values)
            .await;
    assert_eq!(names(&scans), of_that_window);
}
