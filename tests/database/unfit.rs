//! Databases in which a row would be lost, or not be seen.

use testbed::{TestDatabase, TestTopic, eventually, free_address};

use crate::{PATIENCE, health::Watched, readings, role, worker};

/// For sessions that begin from now on.
async fn alter(database: &TestDatabase, change: &str) {
    database.execute_as_superuser(&format!("ALTER DATABASE {} {change}", database.name())).await;
}

#[tokio::test]
async fn nothing_is_written_while_a_restore_goes_on() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(1).await;
    let worker = Watched::start(worker(&database, &topic));
    topic.produce(readings(0..100)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    worker.is_ready().await;

    // What `timescaledb_pre_restore()` does, and an interrupted restore leaves behind.
    alter(&database, "SET timescaledb.restoring = 'on'").await;
    let now = database.number("SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint").await;
    let older = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'sensorpipe worker' AND backend_start < to_timestamp({now} / 1e6)"
    );
    worker.is_unready("worker_postgres", "timescaledb_post_restore").await;
    // Its connection is older than the restore; the look at the stored offsets ends it.
    eventually(PATIENCE, async || database.number(&older).await == 0).await;
    topic.produce(readings(100..200)).await;
    worker.is_unready("worker", "being restored").await;
    assert_eq!(database.tally().await.stored, 100, "stored in the midst of a restore");
    let mut migrate = role(&["migrate"]).database(&database).topic(&topic).start();
    assert_eq!(migrate.ended(PATIENCE).await.code(), Some(1));
    let said = migrate.stderr();
    assert!(said.contains("Error: the database is being restored"), "{said}");
    assert!(said.contains("timescaledb_post_restore()"), "the cure is not named: {said}");

    alter(&database, "RESET timescaledb.restoring").await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.row_count().await, 200);
    worker.is_ready().await;
}

#[tokio::test]
async fn a_worker_that_starts_while_the_database_is_read_only_waits_and_says_so() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(1).await;
    topic.produce(readings(0..100)).await;
    alter(&database, "SET default_transaction_read_only = on").await;
    let worker = Watched::start(worker(&database, &topic));
    eventually(PATIENCE, async || worker.process.stderr().contains("the database is read-only")).await;
    assert!(worker.readiness().await.is_some_and(|(is_ready, _)| !is_ready));
    assert!(!worker.process.stderr().contains("left the group"), "{}", worker.process.stderr());
    alter(&database, "RESET default_transaction_read_only").await;
    database.stores_all_of(&topic, PATIENCE).await;
    worker.is_ready().await;
}

/// As a failover does, or whoever wants a setting to hold at once.
async fn end_sessions(database: &TestDatabase) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'sensorpipe%'";
    database.execute_as_superuser(sql).await;
}

#[tokio::test]
async fn what_is_set_back_holds_for_processes_that_run() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(1).await;
    let worker = Watched::start(worker(&database, &topic));
    let address = free_address().to_string();
    let _api = role(&["api"]).database(&database).topic(&topic).env("HTTP_ADDR", &address).start();
    let is_answered = async |path: &str| {
        reqwest::get(format!("http://{address}{path}")).await.is_ok_and(|answer| answer.status() == 200)
    };
    worker.is_ready().await;
    eventually(PATIENCE, async || is_answered("/sensors").await).await;

    alter(&database, "SET default_transaction_read_only = on").await;
    end_sessions(&database).await;
    worker.is_unready("worker_postgres", "read-only").await;
    alter(&database, "RESET default_transaction_read_only").await;
    worker.is_ready().await;
    let client = reqwest::Client::new();
    let is_made = async || {
        let sensor = r#"{"sensor_type":"test"}"#;
        let request = client.post(format!("http://{address}/sensors")).body(sensor);
        request
            .header("content-type", "application/json")
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    };
    eventually(PATIENCE, is_made).await;

    alter(&database, "SET search_path = nowhere").await;
    end_sessions(&database).await;
    eventually(PATIENCE, async || !is_answered("/sensors").await).await;
    alter(&database, "RESET search_path").await;
    eventually(PATIENCE, async || is_answered("/sensors").await).await;
    topic.produce(readings(0..100)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    worker.is_ready().await;
}

#[tokio::test]
async fn a_column_of_another_type_is_refused_by_name() {
    for (change, column) in [
        ("ALTER TABLE sensor_data ALTER COLUMN sensor_id TYPE bigint", "sensor_data.sensor_id"),
        ("ALTER TABLE sensor_data ALTER COLUMN value TYPE real", "sensor_data.value"),
    ] {
        let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
        database.execute(change).await;
        for arguments in [&["migrate"][..], &["worker", "--consumers", "1"]] {
            let mut refused = role(arguments).database(&database).topic(&topic).start();
            assert_eq!(refused.ended(PATIENCE).await.code(), Some(1), "{}", refused.stderr());
            let named = format!("Error: the type of {column} was changed");
            assert!(refused.stderr().contains(&named), "{}", refused.stderr());
        }
    }
}
