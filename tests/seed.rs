//! `seed` through real Kafka, a real worker and a real database.

use std::time::Duration;

use testbed::{Role, Sensorpipe, TestDatabase, TestTopic};

const TIMEOUT: Duration = Duration::from_secs(60);
/// 14 days of minutes and the minute that begins them, for two sensors.
const READINGS: i64 = 2 * (14 * 24 * 60 + 1);

fn start(role: &[&str], database: &TestDatabase, topic: &TestTopic) -> Sensorpipe {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), role).database(database).topic(topic).start()
}

#[tokio::test]
async fn the_sample_data_is_stored_once_however_often_it_is_sent() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(3).await);
    let _worker = start(&["worker", "--consumers", "2"], &database, &topic);

    for (run, new) in [(1, READINGS), (2, 0)] {
        let mut seed = start(&["seed"], &database, &topic);
        assert!(seed.ended(TIMEOUT).await.success(), "{}", seed.stderr());
        let answer = seed.stdout();
        assert!(answer.starts_with(&format!("{READINGS} readings of 2 sensors are stored, ")), "{answer}");
        // A minute may have begun since the first run.
        let also_new = [new, new + 2].map(|new| answer.contains(&format!(" {new} of them new")));
        assert!(also_new.contains(&true), "run {run}: {answer}");
    }

    let rows = database.number("SELECT count(*) FROM sensor_data").await;
    assert!((READINGS..=READINGS + 4).contains(&rows), "{rows}");
    assert_eq!(database.number("SELECT sum(stored)::bigint FROM ingest_offsets").await, rows);
    let sent = "SELECT sum(stored + duplicates)::bigint FROM ingest_offsets";
    assert_eq!(database.number(sent).await, 2 * READINGS);
    assert_eq!(database.number("SELECT count(*) FROM dead_letters").await, 0);
    let in_range = "SELECT count(*) FROM sensor_data WHERE CASE sensor_id
        WHEN 1 THEN value BETWEEN 15 AND 30 WHEN 2 THEN value BETWEEN 40 AND 60 END";
    assert_eq!(database.number(in_range).await, rows);

    let next = "INSERT INTO sensors (sensor_type) VALUES ('next') RETURNING sensor_id::bigint";
    assert_eq!(database.number(next).await, 3, "the sequence is past the sample sensors");
}

#[tokio::test]
async fn somebody_elses_sensor_is_left_alone() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.execute("INSERT INTO sensors (sensor_type, location) VALUES ('pressure', 'Attic')").await;
    let mut seed = start(&["seed"], &database, &topic);
    assert!(!seed.ended(TIMEOUT).await.success());
    let words = "sensor 1 exists and is not the sample sensor (pressure, Attic)";
    assert!(seed.stderr().contains(words), "{}", seed.stderr());
    assert_eq!(database.number("SELECT count(*) FROM sensors").await, 1);
    assert_eq!(topic.watermarks().await, [(0, 0)], "nothing was sent");
}

#[tokio::test]
async fn a_signal_stops_it_while_it_waits_for_a_worker() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    let mut seed = start(&["seed"], &database, &topic);
    testbed::eventually(TIMEOUT, async || topic.watermarks().await[0].1 > 0).await;
    seed.terminate();
    assert!(!seed.ended(TIMEOUT).await.success());
    assert!(seed.stderr().contains("seeding again sends what is missing"), "{}", seed.stderr());
}
