//! What stands in the way of a deletion, and who waits for it.

use serde_json::json;
use testbed::{Record, Role, eventually};

use crate::site::{PATIENCE, Site};

const ADD_READINGS: &str = "INSERT INTO sensor_data (sensor_id, value, time)
    SELECT 1, n, timestamptz '2026-01-01' + n * interval '1 day' FROM generate_series(1, 30) AS n";

#[tokio::test]
async fn a_sensor_without_readings_goes() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    let answer = site.server.delete("/sensors/1").await.expect(200).json();
    assert_eq!(
        answer,
        json!({"sensor_id": 1, "readings_deleted": 0, "message": "Sensor deleted successfully."})
    );
    assert_eq!(
        site.server.delete("/sensors/1").await.expect(404).json(),
        json!({"detail": "Sensor not found."})
    );
    assert_eq!(site.database.number("SELECT sensor_id::bigint FROM sensors").await, 2);
    site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(404);
}

#[tokio::test]
async fn readings_keep_their_sensor_unless_they_are_to_go_too() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    site.database.execute(ADD_READINGS).await;
    let refused = site.server.delete("/sensors/1").await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("?readings=delete"));
    let fault = site.server.delete("/sensors/1?readings=keep").await.expect(422).json();
    assert_eq!(fault["detail"][0]["loc"], json!(["query", "readings"]));
    assert_eq!(site.database.row_count().await, 30);
    let answer = site.server.delete("/sensors/1?readings=delete").await.expect(200).json();
    assert_eq!(answer["readings_deleted"], 30);
    assert_eq!(site.database.row_count().await, 0);
    site.server.get("/sensors/1").await.expect(404);
}

#[tokio::test]
async fn a_writer_that_holds_the_sensor_commits_first() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let mut writer = site.database.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sensors WHERE sensor_id = 1 FOR KEY SHARE").execute(&mut *writer).await.unwrap();
    let waiting = async {
        eventually(PATIENCE, async || site.database.waiting_for_locks().await == 1).await;
        sqlx::query("INSERT INTO sensor_data VALUES (1, 1, now())").execute(&mut *writer).await.unwrap();
        writer.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(site.server.delete("/sensors/1"), waiting);
    answer.expect(409);
    assert_eq!(site.database.row_count().await, 1);
}

#[tokio::test]
async fn a_lock_that_never_comes_is_not_waited_for() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let held = site.database.hold("SELECT FROM sensors WHERE sensor_id = 1 FOR KEY SHARE").await;
    assert_eq!(site.server.delete("/sensors/1").await.expect(503).header("retry-after"), "1");
    drop(held);
    site.server.delete("/sensors/1").await.expect(200);
}

#[tokio::test]
async fn readings_that_come_later_are_set_aside() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    site.server.post("/sensor_data/1", r#"{"data":[{"value":1},{"value":2}]}"#).await.expect(200);
    site.server.post("/sensor_data/2", r#"{"value":3}"#).await.expect(200);
    site.server.delete("/sensors/1").await.expect(200);
    site.topic
        .produce([Record::new(r#"{"sensor_id":1,"value":4,"timestamp":"2026-01-01T00:00:00Z"}"#)])
        .await;
    let _worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&site.database)
        .topic(&site.topic)
        .start();
    eventually(PATIENCE, async || {
        let tally = site.database.tally().await;
        (tally.stored, tally.dead_lettered) == (1, 3)
    })
    .await;
    let letters = site.database.dead_letters().await;
    assert!(letters.iter().all(|letter| letter.reason == "unknown_sensor"), "{letters:?}");
}
