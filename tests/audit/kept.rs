//! What an audit came to stays, for the overview.

use serde_json::{Value, json};
use testbed::comes_to;

use crate::site::{PATIENCE, Site, reading};

impl Site {
    /// The row of `audits`, without what differs from run to run.
    async fn kept(&self) -> Value {
        let sql = "SELECT (to_jsonb(audits) - '{cluster_id, taken_at, finished_at, duration_seconds, progress}'::text[])::text
                   FROM audits WHERE taken_at <= finished_at AND duration_seconds > 0";
        let row: String = sqlx::query_scalar(sql).fetch_one(&self.database.pool).await.expect("there is one");
        serde_json::from_str(&row).expect("JSON")
    }

    async fn has_kept(&self, what: &str) -> i64 {
        self.database.number(&format!("SELECT count(*) FROM audits WHERE {what}")).await
    }
}

#[tokio::test]
async fn the_last_result_is_kept() {
    let site = Site::new(2, 1).await;
    let good = (0..20).map(|n| reading(1, 1.0, n).partition(n as i32 % 2));
    let more = [reading(1, 1.0, 0).partition(0), reading(99, 1.0, 0).partition(1)];
    site.topic.produce(good.chain(more)).await;
    site.store_all().await;
    assert_eq!(site.has_kept("true").await, 0);
    site.is_clean(&[]).await;
    let mut expected = json!({
        "topic": site.topic.name, "topic_id": site.topic.id().await, "outcome": "clean", "differences": 0,
        "difference_kinds": [], "readings": 22, "uncounted": 0, "stored": 20, "duplicates": 1,
        "dead_lettered": 1, "difference": 0, "rows_counted": true, "partitions": [],
    });
    assert_eq!(site.kept().await, expected);

    // Two readings of one row, for there was a duplicate.
    site.database.execute("DELETE FROM sensor_data WHERE time = '2024-01-01T00:00:00Z'").await;
    site.differs(&[], &["rows_missing", "unaccounted"]).await;
    expected["outcome"] = "differences".into();
    expected["differences"] = 2.into();
    expected["difference_kinds"] = json!(["rows_missing", "unaccounted"]);
    expected["difference"] = 2.into();
    expected["partitions"] = json!([0]);
    assert_eq!(site.kept().await, expected);
    site.differs(&["--no-table-count"], &["unaccounted"]).await;
    expected["differences"] = 1.into();
    expected["difference_kinds"] = json!(["unaccounted"]);
    expected["rows_counted"] = false.into();
    assert_eq!(site.kept().await, expected);

    // It is of everything, so it counts more than one that went on in the meantime.
    site.database.execute("UPDATE audits SET outcome = 'clean', differences = 0, difference = 0, taken_at = now() + interval '1 h', finished_at = now() + interval '1 h'").await;
    site.differs(&["--no-table-count"], &["unaccounted"]).await;
    assert_eq!(site.kept().await, expected);
}

#[tokio::test]
async fn what_cannot_be_audited_is_not_called_clean() {
    let site = Site::new(1, 1).await;
    site.topic.produce((0..20).map(|n| reading(1, 1.0, n))).await;
    site.store_all().await;
    site.database.execute("UPDATE ingest_offsets SET topic_id = 'before'").await;
    site.differs(&["--no-table-count"], &["topic_recreated"]).await;
    let kept = site.kept().await;
    assert_eq!((&kept["outcome"], &kept["difference"]), (&"undetermined".into(), &Value::Null), "{kept}");
    assert_eq!((&kept["differences"], &kept["readings"]), (&1.into(), &0.into()));
}

/// A later round reads only what is new, and is no result of the topic by itself.
#[tokio::test]
async fn rounds_of_a_watch_are_kept_together() {
    let site = Site::new(2, 1).await;
    let _worker = site.worker().start();
    let produce = async |numbers: std::ops::Range<i64>| {
        let records = numbers.map(|n| reading(1, (n / 2) as f64, n).partition(n as i32 % 2));
        site.topic.produce(records.collect::<Vec<_>>()).await;
        site.database.stores_all_of(&site.topic, PATIENCE).await;
    };
    let comes_to = async |what: &str| comes_to(what, PATIENCE, 1, async || site.has_kept(what).await).await;
    produce(0..20).await;
    let watch = site.role(&["audit", "--watch", "--test-audit-interval", "100ms"]).start();
    comes_to("readings = 20 AND outcome = 'clean' AND rows_counted").await;
    produce(20..26).await;
    comes_to("readings = 26 AND stored = 26 AND difference = 0").await;

    site.database.forgets("NEW.value = 13").await;
    produce(26..28).await;
    comes_to("readings = 28 AND outcome = 'differences' AND differences = 2 AND difference = 2").await;
    produce(28..30).await;
    comes_to("readings = 30 AND outcome = 'differences' AND difference = 2 AND rows_counted").await;

    site.differs(&["--no-table-count", "--accept"], &["unaccounted", "unaccounted"]).await;
    comes_to("readings = 0 AND outcome = 'clean'").await;
    produce(30..32).await;
    comes_to("readings = 2 AND stored = 2 AND outcome = 'clean' AND rows_counted").await;
    assert!(!watch.stderr().contains("not kept"), "{}", watch.stderr());
}

/// A restart costs no audit of what is audited; what differs is read again, for somebody may have put it right.
#[tokio::test]
async fn a_watch_goes_on_where_the_one_before_ended() {
    let site = Site::new(2, 1).await;
    let produce = async |numbers: std::ops::Range<i64>| {
        let records = numbers.map(|n| reading(1, n as f64, n).partition(n as i32 % 2));
        site.topic.produce(records.collect::<Vec<_>>()).await;
        site.store_all().await;
    };
    let watch = async |what: &str| {
        let mut watch =
            site.role(&["audit", "--watch", "--test-audit-interval", "100ms", "--format", "json"]).start();
        comes_to(what, PATIENCE, 1, async || site.has_kept(what).await).await;
        watch.terminate();
        watch.ended(PATIENCE).await;
        let rounds = watch.stdout();
        let first: Value = serde_json::from_str(rounds.lines().next().expect("a round")).expect("JSON");
        first["readings"].as_i64().expect("a number")
    };
    produce(0..20).await;
    assert_eq!(watch("readings = 20 AND outcome = 'clean'").await, 20);
    produce(20..26).await;
    assert_eq!(watch("readings = 26 AND outcome = 'clean' AND stored = 26").await, 6);

    produce(26..30).await;
    site.database.execute("DELETE FROM sensor_data WHERE value = 27").await;
    assert_eq!(watch("readings = 30 AND outcome = 'differences' AND partitions = '{1}'").await, 4);
    site.database.execute("INSERT INTO sensor_data VALUES (1, 27, '2024-01-01T00:00:27Z')").await;
    produce(30..32).await;
    assert_eq!(
        watch("readings = 32 AND outcome = 'clean' AND stored = 32").await,
        1 + 16,
        "all of one partition"
    );
}

/// As after records that only a broker had that is gone: others take their offsets.
#[tokio::test]
async fn a_watch_skips_nothing_of_a_partition_that_could_not_be_audited_for_a_while() {
    let site = Site::new(1, 1).await;
    site.topic.produce((0..20).map(|n| reading(1, 1.0, n))).await;
    site.store_all().await;
    let _watch = site.role(&["audit", "--watch", "--test-audit-interval", "100ms"]).start();
    let comes_to = async |what: &str| comes_to(what, PATIENCE, 1, async || site.has_kept(what).await).await;
    comes_to("readings = 20 AND outcome = 'clean'").await;
    site.database
        .execute(
            "SET LOCAL application_name = 'sensorpipe worker'; UPDATE ingest_offsets SET next_offset = 30",
        )
        .await;
    comes_to("readings = 20 AND outcome = 'undetermined' AND difference_kinds = '{offset_past_end}'").await;
    site.topic.produce((20..30).map(|n| reading(1, 1.0, n))).await;
    comes_to("readings = 30 AND difference = 10 AND difference_kinds = '{counts, unaccounted}'").await;
}

/// As on a replica.
#[tokio::test]
async fn where_nothing_can_be_written_the_audit_is_as_good() {
    let site = Site::new(1, 1).await;
    site.topic.produce([reading(1, 1.0, 0)]).await;
    site.store_all().await;
    site.database
        .execute(
            "DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
             END $$",
        )
        .await;
    let mut audit = site.role(&["audit"]).start();
    assert!(audit.ended(PATIENCE).await.success(), "{}", audit.stderr());
    assert!(audit.stderr().contains("the result is not kept"), "{}", audit.stderr());
    assert_eq!(site.has_kept("true").await, 0);
}

/// Somebody's audit of everything finds what a watch has no reason to look at again.
#[tokio::test]
async fn a_watch_takes_over_what_another_audit_has_found() {
    let site = Site::new(2, 1).await;
    site.topic.produce((0..20).map(|n| reading(1, n as f64, n).partition(n as i32 % 2))).await;
    site.store_all().await;
    let watch = site.role(&["audit", "--watch", "--test-audit-interval", "100ms"]).start();
    let comes_to = async |what: &str| comes_to(what, PATIENCE, 1, async || site.has_kept(what).await).await;
    comes_to("readings = 20 AND outcome = 'clean'").await;
    site.database.execute("DELETE FROM sensor_data WHERE value = 4").await;
    site.differs(&["--no-table-count"], &["unaccounted"]).await;
    let found = "the audit found a difference: 1 readings are neither";
    testbed::eventually(PATIENCE, async || watch.stderr().contains(found)).await;
    site.database.execute("INSERT INTO sensor_data VALUES (1, 4, '2024-01-01T00:00:04Z')").await;
    site.is_clean(&["--no-table-count"]).await;
    let then = site.database.number("SELECT (extract(epoch FROM taken_at) * 1e6)::bigint FROM audits").await;
    comes_to(&format!("outcome = 'clean' AND extract(epoch FROM taken_at) * 1e6 > {then}")).await;
}
