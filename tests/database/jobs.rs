//! A background job whose round fails is logged and counted, ends nothing, and works in its next round.

use testbed::{Sensorpipe, TestDatabase, TestTopic, eventually, free_address};

use crate::{PATIENCE, readings, worker};

/// Rounds of a worker's job that ended so.
async fn rounds(address: &str, job: &str, outcome: &str) -> u64 {
    let Ok(response) = reqwest::get(format!("http://{address}/metrics")).await else { return 0 };
    let metrics = response.text().await.expect("metrics are text");
    let series = format!(r#"sensorpipe_job_rounds_total{{job_name="{job}",outcome="{outcome}"}} "#);
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    let rounds = line.unwrap_or_else(|| panic!("{series} is missing:\n{metrics}"));
    rounds.parse().expect("a counter counts whole rounds")
}

fn failures(worker: &Sensorpipe, message: &str) -> usize {
    let log = worker.stderr();
    log.lines().filter(|line| line.contains("background job failed") && line.contains(message)).count()
}

#[tokio::test]
async fn a_job_that_fails_works_in_its_next_round() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    database
        .execute(
            "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
             CREATE TRIGGER not_now BEFORE INSERT ON audit_checkpoints EXECUTE FUNCTION not_now()",
        )
        .await;
    let address = free_address().to_string();
    let mut worker = worker(&database, &topic)
        .env("SENSORPIPE_TEST_CHECKPOINT_INTERVAL", "100ms")
        .env("METRICS_ADDR", &address)
        .start();
    topic.produce(readings(0..100)).await;
    database.stores_all_of(&topic, PATIENCE).await;
    // More rounds than are logged.
    eventually(PATIENCE, async || rounds(&address, "checkpoints", "failed").await >= 5).await;
    assert_eq!(rounds(&address, "checkpoints", "succeeded").await, 0);
    assert_eq!(failures(&worker, "not now"), 1, "{}", worker.stderr());
    let log = worker.stderr();
    assert!(log.contains(r#"job="checkpoints""#) && log.contains("db.sqlstate=\"P0001\""), "{log}");
    assert_eq!(database.number("SELECT count(*) FROM audit_checkpoints").await, 0);

    database.execute("DROP TRIGGER not_now ON audit_checkpoints").await;
    eventually(PATIENCE, async || database.number("SELECT count(*) FROM audit_checkpoints").await > 0).await;
    eventually(PATIENCE, async || rounds(&address, "checkpoints", "succeeded").await > 0).await;
    eventually(PATIENCE, async || worker.stderr().contains("background job succeeds again")).await;
    assert_eq!(worker.exit_status(), None, "{}", worker.stderr());
    // The others were not held up.
    assert!(rounds(&address, "dead_letter_count", "succeeded").await > 0);
}

/// A reading that somebody's SQL put at infinity is in a chunk whose end no clock can hold.
#[tokio::test]
async fn a_sensor_with_a_reading_at_infinity_is_deleted() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(2).await;
    database.execute("INSERT INTO sensor_data (sensor_id, value, time) VALUES (1, 1, 'infinity')").await;
    database.execute("INSERT INTO sensor_deletions (sensor_id) VALUES (1)").await;
    let mut worker =
        worker(&database, &topic).env("SENSORPIPE_TEST_SENSOR_DELETION_INTERVAL", "100ms").start();
    eventually(PATIENCE, async || worker.stderr().contains("sensor and its readings deleted")).await;
    assert_eq!(worker.exit_status(), None, "{}", worker.stderr());
}
