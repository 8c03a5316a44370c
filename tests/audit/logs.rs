//! Logs with gaps, with their beginning gone, and of another topic.

use testbed::{comes_to, eventually};

use crate::site::{PATIENCE, Site, reading};

#[tokio::test]
async fn gaps_of_transactions_are_no_readings() {
    let site = Site::new(2, 1).await;
    for round in 0..6_i64 {
        let records = (0..10).map(move |n| reading(1, 1.0, round * 10 + n).partition(n as i32 % 2));
        site.topic.produce_in_transaction(records, round % 2 == 0).await;
    }
    site.store_all().await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.report["readings"], 30);
    assert!(audited.partition(0)["stored_offset"].as_i64() > Some(30), "{:#}", audited.report);
}

#[tokio::test]
async fn where_the_logs_start_is_gone_counting_begins_at_a_checkpoint() {
    let site = Site::new(1, 1).await;
    let worker = site.worker().env("SENSORPIPE_TEST_CHECKPOINT_INTERVAL", "100ms").start();
    site.topic.produce((0..20).map(|n| reading(1, 1.0, n))).await;
    let at = |offset: i64| format!(r#"SELECT count(*) FROM audit_checkpoints WHERE "offset" = {offset}"#);
    comes_to("a checkpoint", PATIENCE, 1, async || site.database.number(&at(20)).await).await;
    site.topic.produce((20..40).map(|n| reading(1, 1.0, n))).await;
    site.stop_when_stored(worker).await;
    site.database.execute(r#"DELETE FROM audit_checkpoints WHERE "offset" NOT IN (0, 20)"#).await;

    site.topic.delete_before(&[(0, 10)]).await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.notes(), ["counts_from"]);
    let part = &audited.partition(0)["audited"];
    assert_eq!((&part["from"], &part["counted_from"]), (&10.into(), &20.into()));
    assert_eq!((&part["found_before"]["rows"], &part["counts"]["stored"]), (&10.into(), &20.into()));

    // Past it nothing is known of the counts; each reading still is.
    site.topic.delete_before(&[(0, 25)]).await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(
        (audited.notes(), &audited.report["readings"]),
        (vec!["counts_unknown".to_owned()], &15.into())
    );
    site.database
        .execute("DELETE FROM sensor_data WHERE time IN ('2024-01-01T00:00:05Z', '2024-01-01T00:00:30Z')")
        .await;
    let audited = site.differs(&[], &["rows_missing", "unaccounted"]).await;
    assert_eq!(audited.report["examples"].as_array().expect("a list").len(), 1);
    assert_eq!(audited.report["examples"][0]["offset"], 30);
    // All of it gone, and more: what was never read is a loss.
    site.topic.produce((40..50).map(|n| reading(1, 1.0, n))).await;
    site.topic.delete_before(&[(0, 45)]).await;
    site.differs(&["--no-table-count"], &["records_expired"]).await;

    // A worker drops what the log does not reach back to any more.
    let _worker = site.worker().env("SENSORPIPE_TEST_CHECKPOINT_INTERVAL", "100ms").start();
    comes_to("old checkpoints", PATIENCE, 0, async || site.database.number(&at(20)).await).await;
}

#[tokio::test]
async fn a_topic_made_anew_is_named_and_audited_once_an_operator_goes_on() {
    let site = Site::new(1, 1).await;
    site.topic.produce((0..20).map(|n| reading(1, 1.0, n))).await;
    site.store_all().await;
    site.topic.delete().await;
    eventually(PATIENCE, async || site.topic.try_ensure().await).await;
    site.topic.produce((100..130).map(|n| reading(1, 1.0, n))).await;
    let audited = site.differs(&["--no-table-count"], &["topic_recreated"]).await;
    assert!(audited.partition(0)["audited"].is_null());

    let moved = format!("UPDATE ingest_offsets SET topic_id = '{}', next_offset = 0", site.topic.id().await);
    site.database.execute(&moved).await;
    site.store_all().await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.report["readings"], 30);
    assert_eq!(audited.report["table"]["stored"], 50);
}

#[tokio::test]
async fn an_offset_that_an_operator_moves_is_where_audits_begin() {
    let site = Site::new(1, 1).await;
    site.topic.produce((0..20).map(|n| reading(1, 1.0, n))).await;
    site.store_all().await;
    // Back: the same again is all duplicates, and counted a second time.
    site.database.execute("UPDATE ingest_offsets SET next_offset = 5").await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.report["readings"], 0);
    assert_eq!(audited.notes(), ["kafka_ahead"]);
    site.store_all().await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.partition(0)["audited"]["counts"]["duplicates"], 15);
    // On, past readings that are not wanted.
    site.topic.produce((20..30).map(|n| reading(1, 1.0, n))).await;
    site.database.execute("UPDATE ingest_offsets SET next_offset = 25").await;
    site.store_all().await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(
        (&audited.report["readings"], &audited.partition(0)["audited"]["from"]),
        (&5.into(), &25.into())
    );
    // From the beginning, as on the first day.
    site.database.execute("DELETE FROM ingest_offsets").await;
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.notes(), ["foreign_rows", "not_begun"]);
    site.store_all().await;
    assert_eq!(site.is_clean(&[]).await.report["readings"], 30);
}

#[tokio::test]
async fn the_same_topic_of_another_cluster_is_not_taken_for_this_one() {
    let site = Site::new(1, 1).await;
    site.topic.produce([reading(1, 1.0, 0)]).await;
    site.store_all().await;
    site.database.execute("UPDATE ingest_offsets SET cluster_id = 'elsewhere'").await;
    let audited = site.differs(&[], &["other_cluster"]).await;
    assert_eq!(audited.notes(), ["not_begun"]);
}
