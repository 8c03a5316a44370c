//! Sensors with more readings than a request deletes.

use sensorpipe::store::sensors::delete_marked;
use serde_json::{Value, json};
use sqlx::Row;

use crate::site::{PATIENCE, Site};

/// Readings of sensor 1 in many chunks.
const READINGS: i64 = 5_000;

impl Site {
    async fn with_large_sensor() -> Self {
        let site = Self::start().await;
        site.database.add_sensors(2).await;
        site.database
            .execute(&format!(
                "INSERT INTO sensor_data SELECT 1, n, timestamptz '2026-01-01' + n * interval '1 hour'
                 FROM generate_series(1, {READINGS}) AS n;
                 INSERT INTO sensor_data SELECT 2, n, timestamptz '2026-01-01' + n * interval '1 day'
                 FROM generate_series(1, 100) AS n"
            ))
            .await;
        site
    }

    async fn deletion(&self) -> Value {
        let mut body = self.server.get("/sensors/1/deletion").await.expect(200).json();
        assert!(body["requested_at"].as_str().is_some_and(|time| time.starts_with("20")), "{body}");
        body.as_object_mut().unwrap().remove("requested_at");
        body
    }
}

#[tokio::test]
async fn a_large_sensor_is_gone_at_once_and_its_readings_later() {
    let site = Site::with_large_sensor().await;
    site.server.get("/sensors/1/deletion").await.expect(404);
    // Days are kept, as a chart and /daily_avg do.
    site.server.get("/daily_avg/1").await.expect(200);
    let answer = site.server.delete("/sensors/1?readings=delete").await.expect(202);
    assert_eq!(answer.header("location"), "/sensors/1/deletion");
    assert_eq!(
        answer.json(),
        json!({"sensor_id": 1, "message": "Sensor deleted; its readings are being deleted.",
               "progress": "/sensors/1/deletion"})
    );
    assert_eq!(site.database.row_count().await, READINGS + 100, "none is deleted by the request");
    site.is_gone().await;
    assert_eq!(
        site.deletion().await,
        json!({"sensor_id": 1, "state": "running", "readings_deleted": 0, "chunks": 0, "chunks_done": 0})
    );

    let turn = delete_marked(&site.database.config()).await.unwrap();
    assert_eq!((turn.pending, turn.deleted), (1, vec![1]));
    assert_eq!(site.database.row_count().await, 100, "the other sensor's");
    for table in ["sensors", "sensor_deletions", "daily_stats", "sensor_data"] {
        let left = format!("SELECT count(*) FROM {table} WHERE sensor_id = 1");
        assert_eq!(site.database.number(&left).await, 0, "{table}");
    }
    site.is_gone().await;
    assert_eq!(
        site.deletion().await,
        json!({"sensor_id": 1, "state": "done", "readings_deleted": READINGS, "chunks": 0, "chunks_done": 0})
    );
    assert_eq!(delete_marked(&site.database.config()).await.unwrap().pending, 0);
    site.server.get("/sensors/2/latest").await.expect(200);
}

impl Site {
    /// No route knows sensor 1.
    async fn is_gone(&self) {
        for path in [
            "/sensors/1",
            "/sensors/1/latest",
            "/sensors/1/readings",
            "/sensors/1/stats?bucket=1d&start=2026-01-01&end=2026-02-01&measures=count",
            "/sensors/1/chart",
            "/sensors/1/readings/events",
            "/daily_avg/1",
        ] {
            self.server.get(path).await.expect(404);
        }
        let export = self.server.get_as("text/csv", "/sensors/1/readings").await;
        export.expect(404);
        let listed = self.server.get("/sensors").await.expect(200).json();
        let ids = |listed: &Value| -> Vec<i64> {
            listed.as_array().unwrap().iter().map(|sensor| sensor["sensor_id"].as_i64().unwrap()).collect()
        };
        assert_eq!(ids(&listed["sensors"]), [2]);
        let latest = self.server.get("/sensors/latest?ids=1,2").await.expect(200).json();
        assert_eq!(ids(&latest["latest"]), [2]);
        self.server.patch("/sensors/1", r#"{"location":"x"}"#).await.expect(404);
        self.server.delete("/sensors/1").await.expect(404);
        self.server.delete("/sensors/1?readings=delete").await.expect(404);
        self.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(404);
    }
}

/// Another api process and the workers hear of it; the sensor that they know is forgotten.
#[tokio::test]
async fn others_hear_that_a_sensor_is_marked() {
    let site = Site::with_large_sensor().await;
    site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200);
    site.database
        .execute(
            "INSERT INTO removed_sensors (sensor_id, readings) VALUES (1, 0);
             INSERT INTO sensor_deletions (sensor_id) VALUES (1)",
        )
        .await;
    testbed::eventually(PATIENCE, async || !site.server.known_sensors.is_cached(1)).await;
    site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(404);
}

/// A table with so many chunks that no statement may go over all of them.
#[tokio::test]
async fn with_many_chunks_no_transaction_locks_them_all() {
    const CHUNKS: i64 = 500;
    /// Of a portion of 200 chunks, each with its key, and of the tables besides.
    const LOCKS_MAX: i64 = 450;
    let site = Site::start().await;
    site.database.add_sensors(3).await;
    site.database.execute("SELECT set_chunk_time_interval('sensor_data', interval '1 hour')").await;
    for first in (0..CHUNKS).step_by(50) {
        let sql = format!(
            "INSERT INTO sensor_data SELECT sensor, n, timestamptz '2026-01-01' + n * interval '1 hour'
             FROM generate_series({first}, {first} + 49) AS n, generate_series(1, 2) AS sensor"
        );
        site.database.execute(&sql).await;
    }
    // One without readings and one whose readings are gone; what is locked is seen before the transaction ends.
    site.database.execute("INSERT INTO sensor_deletions (sensor_id) VALUES (3)").await;
    let mut transaction = site.database.pool.begin().await.unwrap();
    let gone: Option<bool> =
        sqlx::query_scalar("SELECT sensorpipe_delete_sensor(3)").fetch_one(&mut *transaction).await.unwrap();
    let locks =
        sqlx::query("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(gone, Some(true));
    assert!(locks.get::<i64, _>(0) < LOCKS_MAX, "{} locks", locks.get::<i64, _>(0));

    site.server.delete("/sensors/2").await.expect(409);
    site.server.delete("/sensors/1?readings=delete").await.expect(202);
    let turn = delete_marked(&site.database.config()).await.unwrap();
    assert_eq!(turn.deleted, [3, 1]);
    assert_eq!(site.database.row_count().await, CHUNKS, "the other sensor's");
    site.server.get("/sensors/2").await.expect(200);
}
