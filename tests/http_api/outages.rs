use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use testbed::{TestDatabase, TestTopic, config, eventually};

use crate::site::{PATIENCE, Server, Site};

/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:1";

fn no_database() -> sensorpipe::config::DatabaseConfig {
    config(&["--database-url", &format!("postgres://nobody@{CLOSED}/nothing")])
}

#[tokio::test]
async fn without_kafka_a_reading_is_503_within_the_bound() {
    let database = TestDatabase::create().await;
    database.add_sensors(1).await;
    let kafka = config(&["--kafka-brokers", CLOSED]);
    let server = Server::start(&database.config(), &kafka, &["--test-publish-timeout", "500ms"]).await;
    for (path, body) in [
        ("/sensor_data/1", r#"{"value":1}"#),
        ("/sensor_data/1", r#"{"data":[{"value":1},{"value":2}]}"#),
        ("/readings", r#"[{"sensor_id":1,"value":1}]"#),
    ] {
        let started = Instant::now();
        let answer = server.post(path, body).await.expect(503);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert_eq!(answer.header("retry-after"), "1");
        // Whether it was known already that nobody is there, nobody can say.
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("may or may not") || detail.contains("Nothing was stored"), "{detail}");
    }
    eventually(PATIENCE, async || {
        server.get("/readyz").await.json()["components"]["postgres"]["state"] == "up"
    })
    .await;
    let readiness = server.get("/readyz").await.expect(503).json();
    assert_eq!(readiness["components"]["kafka"]["state"], "down");
    server.get("/healthz").await.expect(200);
    let detail = server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(503).text;
    assert!(detail.contains("None was made"), "{detail}");
    assert_eq!(database.number("SELECT count(*) FROM sensors").await, 1);
    // What does not need Kafka goes on.
    server.get("/daily_avg/1").await.expect(404);
    server.stopped().await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_said() {
    let database = TestDatabase::create().await;
    let topic = TestTopic::name_only(1);
    let server = Server::start(&database.config(), &topic.config(), &[]).await;
    eventually(PATIENCE, async || {
        let readiness = server.get("/readyz").await.expect(503).json();
        readiness["components"]["kafka"]["reason"].as_str().is_some_and(|reason| reason.contains(&topic.name))
    })
    .await;
}

#[tokio::test]
async fn without_postgres_ingestion_goes_on_for_known_sensors() {
    let topic = TestTopic::create(1).await;
    let server = Server::start(&no_database(), &topic.config(), &[]).await;
    server.known_sensors.insert(1);
    server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200);
    for (method, path) in [("post", "/sensor_data/2"), ("post", "/sensors"), ("get", "/daily_avg/1")] {
        let started = Instant::now();
        let answer = match method {
            "post" => server.post(path, r#"{"value":1,"sensor_type":"t"}"#).await,
            _ => server.get(path).await,
        };
        let answer = answer.expect(503);
        assert!(started.elapsed() < Duration::from_secs(5), "{path}: {:?}", started.elapsed());
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
    eventually(PATIENCE, async || server.health.report().ready).await;
    let readiness = server.get("/readyz").await.expect(200).json();
    assert_eq!(readiness["components"]["postgres"]["state"], "down");
    server.stopped().await;
}

/// Sets the database's default for new sessions, and ends those of the api.
async fn set_read_only(database: &TestDatabase, setting: &str) {
    database
        .execute(&format!(
            "BEGIN READ WRITE;
             DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {setting}', current_database());
             END $$;
             COMMIT;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'sensorpipe api%'"
        ))
        .await;
}

#[tokio::test]
async fn a_read_only_database_is_told_from_one_that_is_away() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let postgres = async || site.server.get("/readyz").await.json()["components"]["postgres"].clone();
    eventually(PATIENCE, async || postgres().await["state"] == "up").await;
    set_read_only(&site.database, "on").await;
    eventually(PATIENCE, async || postgres().await["reason"] == "the database is read-only").await;
    let answer = site.server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(503);
    assert_eq!(answer.json()["detail"], "The database is read-only now. Nothing was changed.");
    assert_eq!(answer.header("retry-after"), "1");
    // What is asked is answered, and what goes to Kafka is taken.
    site.server.get("/sensors/1").await.expect(200);
    site.server.get("/daily_avg/1").await.expect(404);
    site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200);
    site.server.get("/readyz").await.expect(200);
    set_read_only(&site.database, "off").await;
    eventually(PATIENCE, async || postgres().await["state"] == "up").await;
    site.server.post("/sensors", r#"{"sensor_type":"t"}"#).await.expect(200);
}

#[tokio::test]
async fn a_column_of_another_type_is_no_outage() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    site.database.execute("INSERT INTO sensor_data (sensor_id, value) VALUES (1, 5)").await;
    site.server.get("/sensors/1/latest").await.expect(200);
    site.database.execute("ALTER TABLE sensor_data ALTER COLUMN value TYPE real").await;
    let answer = site.server.get("/sensors/1/latest").await.expect(500);
    assert_eq!(answer.json()["detail"], "Internal error.");
}

/// As one does where retention drops chunks meanwhile.
#[tokio::test]
async fn a_read_that_gave_way_is_asked_again() {
    // The api's side is the first to look for a deadlock, and so the one that is ended.
    const SETTINGS: &str = "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''3s''', current_database());
         END $$;
         SET deadlock_timeout = '1min'";
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    site.database.execute("INSERT INTO sensor_data (sensor_id, value) VALUES (1, 5)").await;
    let mut other = PgConnection::connect(&site.database.superuser_url()).await.unwrap();
    for sql in [SETTINGS, "BEGIN; LOCK TABLE sensor_data IN ACCESS EXCLUSIVE MODE"] {
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
    }
    let crossing = async {
        eventually(PATIENCE, async || site.database.waiting_for_locks().await == 1).await;
        sqlx::raw_sql("LOCK TABLE daily_stats IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.unwrap();
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    };
    let (answer, ()) = tokio::join!(site.server.get("/daily_avg/1"), crossing);
    assert_eq!(answer.expect(200).json()[0]["reading_count"], 1);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    eventually(PATIENCE, async || site.database.number(deadlocks).await == 1).await;
}
