//! Batches of which much is refused, and batches that span many chunks: they pass, in a time that their size explains.

use std::time::{Duration, Instant};

use testbed::{Gate, Readings, Record, Tally, TestDatabase, TestTopic};

use crate::{PATIENCE, reading, worker};

/// Each one that has written holds a lock on itself.
const OPEN_SUBTRANSACTIONS: &str = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'transactionid' AND datname = current_database()";

#[tokio::test]
async fn half_of_a_batch_may_be_refused_row_by_row() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(10).await;
    // `step_ms` apart, each value is its index: every other one is odd.
    database.execute("ALTER TABLE sensor_data ADD CHECK (value::bigint % 2 = 0)").await;
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 10, step_ms: 1_000 };
    topic.produce(readings.records(0..2_000)).await;
    let _worker = worker(&database, &topic).start();
    let mut most = 0;
    tokio::select! {
        () = database.stores_all_of(&topic, PATIENCE) => {}
        () = async {
            loop {
                most = database.number(OPEN_SUBTRANSACTIONS).await.max(most);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } => {}
    }
    assert_eq!(database.tally().await, Tally { stored: 10_000, duplicates: 0, dead_lettered: 10_000 });
    assert!(most < 20, "{most} transactions and subtransactions were open at once");
}

#[tokio::test]
async fn fifty_thousand_refusals_pass_over_a_long_way() {
    const COUNT: i64 = 50_000;
    const WAY: Duration = Duration::from_millis(10);
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(10).await;
    database.execute("ALTER TABLE sensor_data ADD CHECK (value < 0)").await;
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 10, step_ms: 1_000 };
    topic.produce(readings.records(0..COUNT / 10)).await;
    let (far, url) = far(&database, WAY);
    let started = Instant::now();
    let _worker = worker(&database, &topic).env("DATABASE_URL", &url).start();
    database.stores_all_of(&topic, PATIENCE).await;
    let took = started.elapsed();
    println!("{COUNT} refusals over {} ms each way: {:.1} s", WAY.as_millis(), took.as_secs_f64());
    drop(far);
    assert_eq!(database.tally().await, Tally { stored: 0, duplicates: 0, dead_lettered: COUNT });
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// The database behind a way that takes so long.
fn far(database: &TestDatabase, way: Duration) -> (Gate, String) {
    let (start, rest) = database.url.split_once('@').expect("the URL names a role");
    let (place, name) = rest.split_once('/').expect("the URL names a database");
    let gate = Gate::far_from(place, way);
    let url = format!("{start}@{}/{name}", gate.address);
    (gate, url)
}

#[tokio::test]
async fn a_batch_that_spans_many_chunks_is_cut() {
    const HOUR: i64 = 3_600;
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    database.execute("SELECT set_chunk_time_interval('sensor_data', interval '1 hour')").await;
    topic.produce((0..400).map(|n| reading(1, 1.0, n * HOUR))).await;
    let worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 400, duplicates: 0, dead_lettered: 0 });
    assert!(worker.stderr().contains("too large for one transaction"), "{}", worker.stderr());
}

#[tokio::test]
async fn a_record_that_spans_more_chunks_than_can_be_locked_is_stored_as_far_as_they_can() {
    const HOUR: i64 = 3_600;
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    database.execute("SELECT set_chunk_time_interval('sensor_data', interval '1 hour')").await;
    let item = |n| format!(r#"{{"sensor_id":1,"value":1,"timestamp":{}}}"#, 1_704_067_200 + n * HOUR);
    let items: Vec<String> = (0..520).map(item).collect();
    topic.produce([Record::new(format!("[{}]", items.join(",")))]).await;
    let _worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: 500, duplicates: 0, dead_lettered: 20 });
    let told = "SELECT count(*) FROM dead_letters WHERE detail LIKE 'a record may span 500 chunks%'";
    assert_eq!(database.number(told).await, 20);
}

/// Each of these records goes into so many chunks that no other one fits into its transaction.
#[tokio::test]
async fn records_that_span_many_chunks_hold_up_nobody() {
    const WEEKS: i64 = 130;
    const WEEK: i64 = 7 * 86_400;
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(2).await;
    for sensor in [1, 2] {
        let many = |first: i64| {
            let reading = |week| format!(r#"{{"sensor_id":{sensor},"value":1,"timestamp":{}}}"#, week * WEEK);
            let readings: Vec<String> = (first..first + WEEKS).map(reading).collect();
            Record::new(format!("[{}]", readings.join(","))).key(sensor.to_string())
        };
        let few = |second| reading(sensor, 1.0, second);
        topic.produce([few(1), many(1_600), few(2), many(1_730), many(1_860), few(3)]).await;
    }
    let worker = worker(&database, &topic).start();
    database.stores_all_of(&topic, PATIENCE).await;
    let stored = 2 * (3 + 3 * WEEKS);
    assert_eq!(database.tally().await, Tally { stored, duplicates: 0, dead_lettered: 0 });
    let cuts = worker.stderr().matches("too large for one transaction").count();
    assert!((1..=20).contains(&cuts), "{cuts} batches were cut");
}
