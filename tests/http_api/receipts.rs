//! What became of readings, asked by their receipts or waited for.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::Record;

use crate::site::Site;

const WAIT: [(&str, &str); 1] = [("prefer", "wait=15")];

fn path(receipt: &Value) -> String {
    format!("/receipts/{}/{}", receipt["partition"], receipt["offset"])
}

#[tokio::test]
async fn a_receipt_is_pending_until_it_is_stored() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let receipt =
        site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200).json()["receipt"].clone();
    let pending = json!({"receipt": receipt, "state": "pending"});
    assert_eq!(site.server.get(&path(&receipt)).await.expect(200).json(), pending);
    let started = Instant::now();
    let answer = site.server.get_waiting(&path(&receipt), 1).await.expect(200);
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!((answer.json(), answer.header("preference-applied")), (pending, "wait=1"));

    let _worker = site.worker();
    let answer = site.server.get_waiting(&path(&receipt), 15).await.expect(200).json();
    assert_eq!(answer, json!({"receipt": receipt, "state": "stored", "dead_lettered": 0, "reasons": {}}));
    assert_eq!(site.database.row_count().await, 1);
}

#[tokio::test]
async fn dead_letters_of_a_record_are_told_by_reason() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let _worker = site.worker();
    let record = r#"[{"sensor_id":1,"value":1},{"sensor_id":77,"value":1},{"sensor_id":1,"value":"x"},{"sensor_id":78,"value":1}]"#;
    let delivered = site.topic.produce([Record::new(record)]).await[0];
    let path = format!("/receipts/{}/{}", delivered.partition, delivered.offset);
    let answer = site.server.get_waiting(&path, 15).await.expect(200).json();
    assert_eq!((&answer["state"], &answer["dead_lettered"]), (&json!("stored"), &json!(3)));
    assert_eq!(answer["reasons"], json!({"unknown_sensor": 2, "invalid_value": 1}));
}

#[tokio::test]
async fn what_is_no_record_is_404() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let receipt =
        site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200).json()["receipt"].clone();
    let partition = receipt["partition"].as_i64().unwrap();
    for path in [
        format!("/receipts/{partition}/1"),
        format!("/receipts/{}/0", (partition + 1) % 3),
        "/receipts/3/0".to_owned(),
        format!("/receipts/{partition}/{}", i64::MAX),
    ] {
        site.server.get(&path).await.expect(404);
    }
    site.server.get("/receipts/-1/x").await.expect(422);
    // Offsets that another topic of the same name left behind say nothing about this one.
    site.database
        .execute(
            "INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset)
             SELECT 'c', 't', 'i', n, 0, 100 FROM generate_series(0, 2) n",
        )
        .await;
    assert_eq!(site.server.get(&path(&receipt)).await.expect(200).json()["state"], "pending");
}

#[tokio::test]
async fn who_prefers_to_wait_reads_what_was_written() {
    let site = Site::start().await;
    site.database.add_sensors(20).await;
    let _worker = site.worker();
    // The first one waits for the worker's start, too.
    let answer = site.server.send("/sensor_data/1", &WAIT, r#"{"value":7}"#).await.expect(200);
    assert_eq!((&answer.json()["state"], answer.header("preference-applied")), (&json!("stored"), "wait=15"));
    let days = site.server.get("/daily_avg/1").await.expect(200).json();
    assert_eq!(days[0]["reading_count"], 1);

    let body: Vec<Value> = (1..=20).map(|n| json!({"sensor_id": n, "value": n})).collect();
    let answer = site.server.send("/readings", &WAIT, json!(body).to_string()).await.expect(202);
    assert_eq!((&answer.json()["state"], answer.header("preference-applied")), (&json!("stored"), "wait=15"));
    assert_eq!(site.database.row_count().await, 21);
    // Nobody who does not ask is told.
    assert!(
        site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200).json().get("state").is_none()
    );
}

#[tokio::test]
async fn many_wait_at_the_cost_of_one() {
    const CLIENTS: i64 = 300;
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let reading = |n: i64| format!(r#"{{"value":{n},"timestamp":{}}}"#, 1_728_743_340 + n);
    let one = async |n: i64| site.server.send("/sensor_data/1", &WAIT, reading(n)).await.expect(200).json();
    let looks = async || {
        site.database
            .number(
                "SELECT sum(seq_scan + coalesce(idx_scan, 0))::bigint FROM pg_stat_user_tables
                 WHERE relname = 'ingest_offsets'",
            )
            .await
    };
    let started = Instant::now();
    let (answers, worker) = tokio::join!(join_all((0..CLIENTS).map(one)), async {
        // All of them are waiting by the time that somebody stores what they wait for.
        testbed::eventually(crate::site::PATIENCE, async || site.records().await == CLIENTS).await;
        site.worker()
    });
    assert!(answers.iter().all(|answer| answer["state"] == "stored"));
    assert_eq!(site.database.row_count().await, CLIENTS);
    // A look every 5 ms at most, whoever waits; the worker's own looks are some more.
    let looks_max = started.elapsed().as_millis() as i64 / 5 + 200;
    assert!(looks().await <= looks_max, "{} looks of {looks_max}", looks().await);
    drop(worker);
}
