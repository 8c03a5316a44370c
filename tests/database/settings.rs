//! What a role or a database sets for every session is not what ours rest on.

use testbed::{Readings, Tally, TestDatabase, TestTopic, eventually, free_address};

use crate::{PATIENCE, role, worker};

/// Settings that none of our statements would survive, or that change what they mean.
const ABSURD: [&str; 10] = [
    "statement_timeout = '20ms'",
    "transaction_timeout = '50ms'",
    "lock_timeout = '1ms'",
    "idle_session_timeout = '200ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "default_transaction_isolation = 'serializable'",
    "TimeZone = 'Asia/Kolkata'",
    "DateStyle = 'German'",
    "row_security = off",
    "standard_conforming_strings = off",
];

/// For every session in the database that begins from now on, or for those of a role there.
async fn set_for(database: &TestDatabase, role: Option<&str>) {
    let name = database.name();
    for setting in ABSURD {
        let of =
            role.map_or_else(|| format!("DATABASE {name}"), |role| format!("ROLE {role} IN DATABASE {name}"));
        database.execute_as_superuser(&format!("ALTER {of} SET {setting}")).await;
    }
}

#[tokio::test]
async fn a_backlog_is_stored_whatever_the_role_has_set() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(10).await;
    let url = database.url_of_role_that_only_writes().await;
    set_for(&database, Some("sensorpipe_test_writer")).await;
    // A batch of it takes far longer than 50 ms.
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 100, step_ms: 1_000 };
    topic.produce(readings.records(0..1_000)).await;
    let worker = worker(&database, &topic).env("DATABASE_URL", &url).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 100_000, duplicates: 0, dead_lettered: 0 });
    assert!(!worker.stderr().contains("not written"), "{}", worker.stderr());
}

#[tokio::test]
async fn a_database_is_migrated_whatever_it_has_set() {
    let (database, topic) = tokio::join!(TestDatabase::create_empty(), TestTopic::create(1));
    set_for(&database, None).await;
    let mut migrate = role(&["migrate"]).database(&database).topic(&topic).start();
    assert_eq!(migrate.ended(PATIENCE).await.code(), Some(0), "{}", migrate.stderr());
}

#[tokio::test]
async fn the_api_has_limits_of_its_own_whatever_the_database_has_set() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    set_for(&database, None).await;
    let address = free_address().to_string();
    let api = role(&["api"]).database(&database).topic(&topic).env("HTTP_ADDR", &address).start();
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.unwrap()))
    };
    eventually(PATIENCE, async || get("/readyz").await.is_some_and(|(status, _)| status == 200)).await;
    for _ in 0..20 {
        let (status, body) = get("/sensors/1/stats?bucket=1d&start=2024-01-01&end=2025-01-01").await.unwrap();
        assert_eq!(status, 200, "{body}\n{}", api.stderr());
    }
}
