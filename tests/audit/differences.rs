//! What somebody did behind the service's back.

use serde_json::json;
use testbed::{Record, Role, TestDatabase, TestTopic};

use crate::site::{PATIENCE, Site, reading};

/// Two partitions of ten readings each, one that is set aside, and in the second one a duplicate.
async fn stored() -> Site {
    let site = Site::new(2, 2).await;
    let batch = r#"{"sensor_id":1,"data":[{"value":1.5,"timestamp":1704067201},{"value":2.5,"timestamp":1704067202}]}"#;
    let first = [Record::new(batch).partition(0), Record::new("no json").partition(0)];
    let more = (3..11).map(|n| reading(1, n as f64, n).partition(0));
    let other = (0..10).map(|n| reading(2, n as f64, n).partition(1));
    site.topic
        .produce(first.into_iter().chain(more).chain(other).chain([reading(2, 0.0, 0).partition(1)]))
        .await;
    site.store_all().await;
    site
}

#[tokio::test]
async fn each_is_found_and_named() {
    let site = stored().await;
    site.is_clean(&[]).await;

    // A row is gone.
    let gone = "sensor_id = 1 AND time = '2024-01-01T00:00:02Z'";
    site.database.execute(&format!("DELETE FROM sensor_data WHERE {gone}")).await;
    let audited = site.differs(&[], &["rows_missing", "unaccounted"]).await;
    let named = json!([{
        "what": "unaccounted", "partition": 0, "offset": 0, "item": 1, "sensor_id": 1,
        "time": "2024-01-01T00:00:02Z", "value": 2.5, "stored_value": null, "reason": null,
    }]);
    assert_eq!(audited.report["examples"], named);
    let mut audit = site.role(&["audit", "--no-table-count"]).start();
    assert_eq!(audit.ended(PATIENCE).await.code(), Some(1));
    let table = audit.stdout();
    let line =
        "partition 0 offset 0 item 1: sensor 1 at 2024-01-01T00:00:02Z, value 2.5: no row and no dead letter";
    assert!(table.contains(line) && table.contains("1 DIFFERENCE:"), "{table}");
    site.database.execute("INSERT INTO sensor_data VALUES (1, 2.5, '2024-01-01T00:00:02Z')").await;
    site.is_clean(&[]).await;

    // A value is another one. In the other partition a duplicate might explain it.
    site.database.execute("UPDATE sensor_data SET value = 7.25 WHERE value = 5 AND sensor_id = 1").await;
    let audited = site.differs(&[], &["other_values"]).await;
    assert_eq!(audited.report["examples"][0]["stored_value"], 7.25);
    site.database.execute("UPDATE sensor_data SET value = 5 WHERE value = 7.25").await;

    // Counts.
    let books = async |change: &str| {
        site.database.execute(&format!("UPDATE ingest_offsets SET {change} WHERE partition = 1")).await;
    };
    books("duplicates = duplicates + 1").await;
    site.differs(&[], &["counts"]).await;
    books("duplicates = duplicates - 2").await;
    let audited = site.differs(&[], &["counts"]).await;
    let message = "the log has 11 readings, the counts say 10: a gap of 1";
    assert_eq!(audited.partition(1)["differences"][0]["message"], message);
    books("stored = stored + 1").await;
    site.differs(&[], &["rows_missing"]).await;
    books("stored = stored - 1, duplicates = duplicates + 1").await;
    site.is_clean(&[]).await;

    // A dead letter is gone; unless that is in the books.
    site.database.execute("DELETE FROM dead_letters").await;
    let audited = site.differs(&[], &["letters_missing", "unaccounted"]).await;
    let example = &audited.report["examples"][0];
    assert_eq!((&example["offset"], &example["reason"]), (&json!(1), &json!("malformed_json")));
    let removal =
        format!("INSERT INTO dead_letter_removals VALUES ('{}', 'x', 0, 'discarded', 1)", site.topic.name);
    site.database.execute(&removal).await;
    assert_eq!(site.is_clean(&[]).await.notes(), ["letters_removed"]);
}

#[tokio::test]
async fn what_is_accepted_is_not_told_again() {
    let site = stored().await;
    site.database.execute("DELETE FROM sensor_data WHERE sensor_id = 1").await;
    let flags = ["--no-table-count", "--examples", "3"];
    let audited = site.differs(&flags, &["unaccounted"]).await;
    assert_eq!(audited.report["examples"].as_array().expect("a list").len(), 3);
    site.differs(&[&flags[..], &["--accept"]].concat(), &["unaccounted"]).await;
    site.topic.produce((20..25).map(|n| reading(1, 0.0, n).partition(0))).await;
    site.store_all().await;
    let audited = site.is_clean(&flags).await;
    assert_eq!(audited.partition(0)["audited"]["from"], 10);
    assert_eq!(audited.report["readings"], 5);
}

#[tokio::test]
async fn what_cannot_be_audited_has_an_exit_code_of_its_own() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::name_only(1));
    let mut audit =
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["audit"]).database(&database).topic(&topic).start();
    assert_eq!(audit.ended(PATIENCE).await.code(), Some(2));
    assert!(audit.stderr().contains(&format!("not audited: topic {} does not exist", topic.name)));
    assert_eq!(audit.stdout(), "");
}
