//! Every fate that a reading can meet, with nothing wrong.

use std::time::Duration;

use serde_json::json;
use testbed::{Readings, Record};

use crate::site::{PATIENCE, Site, reading};

/// Ten readings, five that give way, six that are set aside.
async fn every_fate() -> Site {
    let site = Site::new(3, 2).await;
    let good = (0..10).map(|n| reading(1, n as f64, n).partition(0));
    // Of equal ones the first stays, whatever its value.
    let again = (0..5).map(|n| reading(1, 100.0, n).partition(0));
    let bad = [
        Record::new("no json").partition(1),
        Record::without_value().partition(1),
        reading(99, 1.0, 0).partition(1),
        reading(1, 1.0, 9_000_000_000).partition(1),
        Record::new(r#"{"sensor_id":2,"data":[{"value":"x","timestamp":5},{"value":1,"timestamp":0}]}"#)
            .partition(1),
        Record::new("[]").partition(1),
    ];
    site.topic.produce(good.chain(again).chain(bad).collect::<Vec<_>>()).await;
    site.store_all().await;
    site
}

#[tokio::test]
async fn all_of_them_add_up() {
    let site = every_fate().await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.notes(), ["other_values"]);
    let report = &audited.report;
    assert_eq!(report["readings"], 21);
    assert_eq!(report["topic"], site.topic.name);
    assert_eq!(report["topic_id"], site.topic.id().await);
    assert_eq!(
        report["table"],
        json!({"rows": 10, "stored": 10, "expired": 0, "sensors_removed": 0, "foreign_rows": 0})
    );
    assert_eq!(report["examples"], json!([]));
    for field in ["cluster_id", "taken_at", "seconds", "readings_per_second"] {
        assert!(!report[field].is_null(), "{field}: {report:#}");
    }
    let expected = json!({
        "partition": 0, "log_start": 0, "log_end": 15, "stored_offset": 15, "kafka_offset": 15,
        "audited": {
            "from": 0, "until": 15, "counted_from": 0,
            "counts": {"stored": 10, "duplicates": 5, "dead_lettered": 0},
            "found": {"readings": 15, "rows": 10, "other_values": 5, "letters": 0, "expired": 0,
                      "sensors_removed": 0, "not_kept": 0, "unaccounted": 0},
            "found_before": {"readings": 0, "rows": 0, "other_values": 0, "letters": 0, "expired": 0,
                             "sensors_removed": 0, "not_kept": 0, "unaccounted": 0},
        },
        "differences": [],
        "notes": [{"kind": "other_values", "message": "5 readings were replaced by a duplicate with another value"}],
    });
    assert_eq!(audited.partition(0), &expected);
    let found = &audited.partition(1)["audited"];
    assert_eq!((&found["found"]["letters"], &found["counts"]["dead_lettered"]), (&json!(6), &json!(6)));
    assert_eq!(audited.partition(2)["audited"]["found"]["readings"], 0);

    // For people.
    let mut audit = site.role(&["audit"]).start();
    assert!(audit.ended(PATIENCE).await.success(), "{}", audit.stderr());
    let table = audit.stdout();
    assert!(table.contains("CLEAN: 21 readings of 3 partitions"), "{table}");
    assert_eq!(table.lines().filter(|line| line.ends_with(" ok")).count(), 3, "{table}");
}

#[tokio::test]
async fn rows_that_came_another_way_are_told_and_do_no_harm() {
    let site = every_fate().await;
    site.database.execute("INSERT INTO sensor_data SELECT 2, n, timestamptz '2020-01-01' + n * interval '1 s' FROM generate_series(1, 7) n").await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.notes(), ["foreign_rows", "other_values"]);
    assert_eq!(audited.report["table"]["foreign_rows"], 7);
    assert_eq!(site.is_clean(&["--no-table-count"]).await.report["table"], json!(null));
}

#[tokio::test]
async fn the_last_value_is_expected_where_the_last_one_stays() {
    let site = Site::new(2, 5).await;
    let rewritten = (0..50_i32).map(|n| reading(n % 5 + 1, f64::from(n), 0).partition(n / 5 % 2));
    site.topic.produce(rewritten).await;
    site.database.set("on_duplicate", "overwrite").await;
    let worker = site.worker().env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "7").start();
    site.stop_when_stored(worker).await;
    site.is_clean(&[]).await;
    site.database.execute("UPDATE sensor_data SET value = -1 WHERE sensor_id < 3").await;
    let audited = site.differs(&["--on-duplicate", "overwrite"], &["other_values"]).await;
    assert_eq!(audited.report["examples"][0]["stored_value"], -1.0);
}

#[tokio::test]
async fn workers_go_on_meanwhile() {
    let site = Site::new(3, 20).await;
    let readings = Readings { first_sensor: 1, sensors: 20, per_record: 10, step_ms: 1_000 };
    let worker = site.worker().env("SENSORPIPE_TEST_BATCH_MAX_READINGS", "500").start();
    let sink = site.topic.sink();
    let adding = tokio::spawn(async move {
        for round in 0..60 {
            sink.produce(readings.records(round * 100..(round + 1) * 100)).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    let mut seen = vec![];
    while !adding.is_finished() {
        let audited = site.is_clean(&[]).await;
        seen.push(audited.report["readings"].as_i64().expect("a number"));
    }
    adding.await.expect("all is produced");
    site.stop_when_stored(worker).await;
    seen.push(site.is_clean(&[]).await.report["readings"].as_i64().expect("a number"));
    assert!(seen.len() > 2 && seen.is_sorted() && seen[0] < 60_000, "{seen:?}");
    assert_eq!(seen.last(), Some(&60_000));
}
