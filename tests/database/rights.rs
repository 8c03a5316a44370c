//! Roles that may not do all that a worker does.

use testbed::{TestDatabase, TestTopic, eventually};

use crate::{PATIENCE, health::Watched, readings, worker};

/// The one of `url_of_role_that_only_writes`.
const ROLE: &str = "sensorpipe_test_writer";

#[tokio::test]
async fn a_worker_without_a_right_ends_and_names_it() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let url = database.url_of_role_that_only_writes().await;
    for (right, table) in [
        ("SELECT", "ingest_offsets"),
        ("INSERT", "ingest_offsets"),
        ("UPDATE", "ingest_offsets"),
        ("UPDATE", "sensors"),
        ("UPDATE", "daily_stats"),
        ("DELETE", "daily_stats"),
        ("INSERT", "sensor_data"),
        ("SELECT", "sensor_data"),
        ("INSERT", "dead_letters"),
    ] {
        database.execute_as_superuser(&format!("REVOKE {right} ON {table} FROM {ROLE}")).await;
        let mut worker = worker(&database, &topic).env("DATABASE_URL", &url).start();
        assert_eq!(worker.ended(PATIENCE).await.code(), Some(1), "{right} on {table}: {}", worker.stderr());
        let said = worker.stderr();
        let line = said.lines().find(|line| line.starts_with("Error: ")).unwrap_or_default();
        assert!(line.contains(&format!("permission denied for table {table}")), "{right} on {table}: {said}");
        assert!(line.contains("roles.sql"), "the cure is not named: {said}");
        database.execute_as_superuser(&format!("GRANT {right} ON {table} TO {ROLE}")).await;
    }
}

#[tokio::test]
async fn a_login_that_acts_as_another_role_writes() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let login = format!("login_of_{}", database.name());
    let make_login = format!(
        "CREATE ROLE {login} LOGIN NOINHERIT IN ROLE sensorpipe; ALTER ROLE {login} SET role = sensorpipe"
    );
    database.execute_as_superuser(&make_login).await;
    let worker = worker(&database, &topic).env("DATABASE_URL", &database.url_as(&login)).start();
    topic.produce(readings(0..10)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.row_count().await, 10, "{}", worker.stderr());
    drop(worker);
    database.execute_as_superuser(&format!("DROP ROLE {login}")).await;
}

#[tokio::test]
async fn a_worker_that_loses_its_rights_leaves_its_partitions_to_others() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(4));
    database.add_sensors(1).await;
    let url = database.url_of_role_that_only_writes().await;
    let healthy = Watched::start(worker(&database, &topic));
    let other = Watched::start(worker(&database, &topic).env("DATABASE_URL", &url));
    let has_some = async || other.process.stderr().contains("at their stored offsets kafka.starts=[(");
    eventually(PATIENCE, has_some).await;
    topic.produce(readings(0..100)).await;
    database.stores_all_of(&topic, PATIENCE).await;

    database.execute_as_superuser(&format!("REVOKE INSERT ON sensor_data FROM {ROLE}")).await;
    topic.produce(readings(100..200)).await;
    // Half of them are its.
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.row_count().await, 200);
    other.is_unready("worker_group", "permission denied for table sensor_data").await;
    healthy.is_ready().await;
    let joined = other.process.stderr().matches("partitions assigned").count();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(other.process.stderr().matches("partitions assigned").count(), joined, "it joined again");
    assert!(!other.process.stderr().contains("unavailable"), "Postgres answers:\n{}", other.process.stderr());

    database.execute_as_superuser(&format!("GRANT INSERT ON sensor_data TO {ROLE}")).await;
    other.is_ready().await;
    topic.produce(readings(200..300)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.row_count().await, 300);
}
