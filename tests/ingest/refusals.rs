//! What the database itself refuses, and how its foreign keys are checked.

use testbed::{Readings, Tally, TestDatabase, TestTopic};

use crate::{PATIENCE, reading, worker};

#[tokio::test]
async fn rows_that_a_check_constraint_refuses_are_set_aside_alone() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(10).await;
    database.execute("ALTER TABLE sensor_data ADD CHECK (value < 1000)").await;
    // Each of ten sensors has readings 0 to 1,199: the last 200 are refused.
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 10, step_ms: 1_000 };
    topic.produce(readings.records(0..1_200)).await;
    let worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 10_000, duplicates: 0, dead_lettered: 2_000 });
    assert_eq!(database.row_count().await, 10_000);
    let letters = database.dead_letters().await;
    assert_eq!(letters.len(), 2_000);
    assert!(letters.iter().all(|letter| letter.reason == "rejected_by_database"), "{:?}", letters[0]);
    let payload = String::from_utf8(letters[0].payload.clone().unwrap()).unwrap();
    assert!(payload.contains(r#""data":[{"value":1000,"#), "only the refused reading, but: {payload}");
    let told = "SELECT count(*) FROM dead_letters WHERE detail LIKE '%sensor_data_value_check%'";
    assert_eq!(database.number(told).await, 2_000, "the server's words are not kept");
    assert!(!worker.stderr().contains("ERROR"), "{}", worker.stderr());
}

#[tokio::test]
async fn a_user_trigger_fires_from_the_batch_after_it_was_made() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let _worker = worker(&database, &topic).start();
    topic.produce((0..100).map(|n| reading(1, 1.0, n))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    database
        .execute(
            "CREATE TABLE seen (sensor_id int, time timestamptz);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO seen VALUES (new.sensor_id, new.time); RETURN new; END $$;
             CREATE TRIGGER note AFTER INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION note();",
        )
        .await;
    // The second half lies in a chunk that is made now.
    topic.produce((0..200).map(|n| reading(1, 2.0, 1_000 + n * 100_000))).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(
        database.number("SELECT count(*) FROM seen JOIN sensor_data USING (sensor_id, time)").await,
        200
    );
    assert_eq!(database.tally().await, Tally { stored: 300, duplicates: 0, dead_lettered: 0 });
}

/// Known and unknown sensors, twice; `fk_check` is what the worker says about itself.
async fn stores_with(fk_check: &str, database: &TestDatabase, url: &str, setting: &str) {
    let topic = TestTopic::create(2).await;
    database.add_sensors(3).await;
    let worker = worker(database, &topic)
        .env("DATABASE_URL", url)
        .env("SENSORPIPE_TEST_WRITE_FK_CHECK", setting)
        .start();
    for duplicates in [0, 300] {
        topic.produce((0..400).map(|n| reading(n % 4 + 1, 1.0, i64::from(n)))).await;
        database.stores_all_of(&topic, PATIENCE).await;
        let dead_lettered = if duplicates == 0 { 100 } else { 200 };
        assert_eq!(database.tally().await, Tally { stored: 300, duplicates, dead_lettered });
    }
    assert_eq!(database.row_count().await, 300);
    assert!(database.dead_letters().await.iter().all(|letter| letter.reason == "unknown_sensor"));
    let log = worker.stderr();
    assert!(log.contains(&format!("fk_check=\"{fk_check}\"")), "not checked by {fk_check}:\n{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn foreign_keys_are_checked_once_for_a_batch() {
    let database = TestDatabase::create().await;
    stores_with("batch", &database, &database.url, "auto").await;
}

#[tokio::test]
async fn foreign_keys_are_checked_row_by_row_where_asked_for() {
    let database = TestDatabase::create().await;
    stores_with("row", &database, &database.url, "row").await;
}

#[tokio::test]
async fn a_role_without_the_privilege_falls_back_to_the_check_of_each_row() {
    let database = TestDatabase::create().await;
    let url = database.url_of_role_that_only_writes().await;
    stores_with("row", &database, &url, "auto").await;
}
