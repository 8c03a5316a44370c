//! PgBouncer, as it is by default, between sensorpipe and Postgres.

use std::time::Duration;

use serde_json::json;
use sqlx::{ConnectOptions as _, Executor as _, Row as _, postgres::PgConnectOptions};
use testbed::{PgBouncer, PoolMode, Readings, Role, TestDatabase, TestTopic, eventually};

use crate::{PATIENCE, api::Api};

const READINGS: Readings = Readings { first_sensor: 1, sensors: 3, per_record: 50, step_ms: 60_000 };

/// A role of sensorpipe whose database is behind a URL.
fn role(arguments: &[&str], url: &str, topic: &TestTopic) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), arguments).topic(topic).env("DATABASE_URL", url)
}

#[tokio::test]
async fn with_sessions_everything_works() {
    let (database, topic) = tokio::join!(TestDatabase::create_empty(), TestTopic::create(2));
    let pgbouncer = PgBouncer::start(env!("CARGO_TARGET_TMPDIR"), &database.url, PoolMode::Session).await;
    let url = pgbouncer.url(&database.url);
    let mut migrate = role(&["migrate"], &url, &topic).start();
    assert_eq!(migrate.ended(PATIENCE).await.code(), Some(0), "{}", migrate.stderr());

    database.add_sensors(READINGS.sensors).await;
    let mut worker = role(&["worker", "--consumers", "2"], &url, &topic).start();
    let api = Api::start(&url, &topic);
    topic.produce(READINGS.records(0..30)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(worker.exit_status(), None, "{}", worker.stderr());
    api.is_ready().await;
    assert_eq!(api.get("/daily_avg/1").await[0]["sensor_id"], 1);
    // What is listened to is heard: a sensor that SQL deletes is unknown within a second, though it was known.
    let reading = r#"{"value":1,"timestamp":"2024-05-01T00:00:00Z"}"#;
    let id: i32 = sqlx::query_scalar("INSERT INTO sensors (sensor_type) VALUES ('x') RETURNING sensor_id")
        .fetch_one(&database.pool)
        .await
        .expect("a sensor can be made");
    api.gets("POST", &format!("/sensor_data/{id}"), reading).await;
    database.stores_all_of(&topic, PATIENCE).await;
    database.execute(&format!("DELETE FROM sensor_data WHERE sensor_id = {id}")).await;
    database.execute(&format!("DELETE FROM sensors WHERE sensor_id = {id}")).await;
    let is_unknown = async || {
        api.ask("POST", &format!("/sensor_data/{id}"), reading).await.is_some_and(|(status, _)| status == 404)
    };
    eventually(Duration::from_secs(5), is_unknown).await;
    let mut stats = role(&["stats", "rebuild"], &url, &topic).start();
    assert_eq!(stats.ended(PATIENCE).await.code(), Some(0), "{}", stats.stderr());
}

#[tokio::test]
async fn without_sessions_the_api_serves_everything() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(READINGS.sensors).await;
    let mode = PoolMode::Transaction;
    let pgbouncer = PgBouncer::start(env!("CARGO_TARGET_TMPDIR"), &database.url, mode).await;
    let url = pgbouncer.url(&database.url);
    let _worker = role(&["worker", "--consumers", "2"], &database.url, &topic).start();
    let api = Api::start(&url, &topic);
    topic.produce(READINGS.records(0..30)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    api.is_ready().await;

    let range = "start=2024-01-01&end=2024-01-03";
    let reads = [
        "/sensors?limit=2".to_owned(),
        "/sensors/1".to_owned(),
        "/sensors/1/latest".to_owned(),
        "/sensors/latest?ids=1,2,3".to_owned(),
        format!("/sensors/1/stats?bucket=1h&{range}&measures=avg,p95,count"),
        format!("/sensors/stats?type=test&group=all&bucket=1h&{range}"),
        format!("/sensors/1/readings?limit=10&{range}"),
        format!("/sensors/1/chart?{range}"),
        "/daily_avg/1".to_owned(),
        "/overview".to_owned(),
    ];
    let before: Vec<_> = reads.iter().map(|path| api.get(path)).collect();
    let mut expected = vec![];
    for answer in before {
        expected.push(answer.await);
    }
    // Many at once, so that sessions change hands; what changes as time passes is only asked for.
    let rounds = (0..20).map(async |_| {
        for (path, expected) in reads.iter().zip(&expected) {
            let answer = api.get(path).await;
            assert!(path == "/overview" || answer == *expected, "{path}: {answer}, not {expected}");
        }
    });
    futures_util::future::join_all(rounds).await;
    let export = api.gets("GET", "/sensors/1/readings?format=csv", "").await;
    assert!(export.contains("2024-01-01"), "{export}");

    let sensor = api.gets("POST", "/sensors", r#"{"sensor_type":"made"}"#).await;
    let sensor: serde_json::Value = serde_json::from_str(&sensor).expect("JSON");
    let id = &sensor["sensor_id"];
    let reading = r#"{"value":1,"timestamp":"2024-05-01T00:00:00Z"}"#;
    api.gets("POST", &format!("/sensor_data/{id}"), reading).await;
    api.gets("PATCH", &format!("/sensors/{id}"), r#"{"location":"South"}"#).await;
    database.stores_all_of(&topic, PATIENCE).await;
    eventually(PATIENCE, async || api.get(&format!("/sensors/{id}/latest")).await["value"] == json!(1.0))
        .await;
    api.gets("DELETE", &format!("/sensors/{id}?readings=delete"), "").await;
    // Nothing is heard of what others do, so it is asked for.
    api.gets("POST", "/sensor_data/3", reading).await;
    database.stores_all_of(&topic, PATIENCE).await;
    database
        .execute("DELETE FROM sensor_data WHERE sensor_id = 3; DELETE FROM sensors WHERE sensor_id = 3")
        .await;
    let is_unknown =
        async || api.ask("POST", "/sensor_data/3", reading).await.is_some_and(|(status, _)| status == 404);
    eventually(Duration::from_secs(10), is_unknown).await;
    assert_eq!(api.ask("GET", "/readyz", "").await.map(|(status, _)| status), Some(200));

    // Nothing of ours stays behind on sessions that are others' too.
    let options: PgConnectOptions = url.parse().expect("a URL");
    let others = options.extra_float_digits(None).connect().await;
    let mut others = others.expect("PgBouncer takes more clients");
    for _ in 0..20 {
        let settings = others
            .fetch_one("SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only'), current_setting('jit')")
            .await
            .expect("it answers");
        let settings: [String; 3] = [0, 1, 2].map(|place| settings.get(place));
        assert_eq!(settings, ["0", "off", "on"]);
    }
}

#[tokio::test]
async fn what_needs_a_session_says_so_at_start() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let mode = PoolMode::Transaction;
    let pgbouncer = PgBouncer::start(env!("CARGO_TARGET_TMPDIR"), &database.url, mode).await;
    let url = pgbouncer.url(&database.url);
    for arguments in
        [&["migrate"][..], &["worker", "--consumers", "1"], &["offsets", "list"], &["keys", "list"]]
    {
        let mut refused = role(arguments, &url, &topic).start();
        assert_eq!(refused.ended(PATIENCE).await.code(), Some(1), "{arguments:?}: {}", refused.stderr());
        let log = refused.stderr();
        let error = log.lines().find(|line| line.starts_with("Error: ")).unwrap_or_default();
        for expected in ["pool_mode = transaction", "direct address", "-pooler"] {
            assert!(error.contains(expected), "{arguments:?}: {expected} is not in {log}");
        }
    }
}

#[tokio::test]
async fn an_api_without_prepared_statements_is_not_ready_and_names_the_cure() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let mode = PoolMode::TransactionWithoutStatements;
    let pgbouncer = PgBouncer::start(env!("CARGO_TARGET_TMPDIR"), &database.url, mode).await;
    let api = Api::start(&pgbouncer.url(&database.url), &topic);
    let is_named = async || {
        api.ask("GET", "/readyz", "")
            .await
            .is_some_and(|(status, body)| status == 503 && body.contains("max_prepared_statements"))
    };
    eventually(PATIENCE, is_named).await;
    for _ in 0..20 {
        assert_eq!(api.ask("GET", "/sensors", "").await.map(|(status, _)| status), Some(503));
    }
}
