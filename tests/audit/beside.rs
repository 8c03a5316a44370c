//! `all` audits by itself, and goes on where it cannot.

use sensorpipe::reading::Timestamp;
use testbed::{Sensorpipe, comes_to, eventually, free_address};

use crate::{
    metrics::{get, metrics, value},
    site::{PATIENCE, Site, reading},
};

const CLEAN: &str = r#"sensorpipe_audit_rounds_total{outcome="clean"}"#;
const FAILED: &str = r#"sensorpipe_audit_rounds_total{outcome="failed"}"#;

/// An `all` that is ready.
async fn all(site: &Site, setting: &str) -> (Sensorpipe, String) {
    let address = free_address().to_string();
    let all = site
        .role(&["all", "--audit", setting, "--test-audit-interval", "100ms", "--consumers", "1"])
        .env("HTTP_ADDR", &address)
        .start();
    comes_to("ready", PATIENCE, 200, async || get(&format!("http://{address}/readyz")).await.0).await;
    (all, address)
}

async fn stores(site: &Site, seconds: std::ops::Range<i64>) {
    site.topic.produce(seconds.map(|n| reading(1, 1.0, n))).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
}

#[tokio::test]
async fn all_says_up_to_when_everything_is_accounted_for() {
    let site = Site::new(1, 1).await;
    let began = Timestamp::now().micros() as f64 / 1e6;
    let (mut all, address) = all(&site, "on").await;
    stores(&site, 0..20).await;
    let kept = "SELECT count(*) FROM audits WHERE readings = 20 AND outcome = 'clean'";
    comes_to("an audit", PATIENCE, 1, async || site.database.number(kept).await).await;
    let up_to = async || value(&metrics(&address).await, "sensorpipe_audit_up_to_timestamp_seconds").unwrap();
    let first = up_to().await;
    assert!(first > began - 60.0 && first <= Timestamp::now().micros() as f64 / 1e6 + 60.0, "{first}");
    eventually(PATIENCE, async || up_to().await > first).await;

    all.terminate();
    assert!(all.ended(PATIENCE).await.success(), "{}", all.stderr());

    // What was there before it came is audited, too; a difference is no reason to end with an error.
    let lost = "DELETE FROM audits; DELETE FROM sensor_data WHERE time = '2024-01-01T00:00:05Z'";
    site.database.execute(lost).await;
    let (mut again, address) = self::all(&site, "on").await;
    let open = r#"sensorpipe_audit_open_differences{kind="unaccounted"}"#;
    comes_to("a difference", PATIENCE, Some(1.0), async || value(&metrics(&address).await, open)).await;
    let overview = get(&format!("http://{address}/overview")).await.1;
    let overview: serde_json::Value = serde_json::from_str(&overview).expect("JSON");
    assert_eq!(overview["tally"]["audit"]["outcome"], "differences", "{overview:#}");
    assert_eq!(overview["tally"]["audit"]["partitions"], serde_json::json!([0]));
    again.terminate();
    assert!(again.ended(PATIENCE).await.success(), "{}", again.stderr());
    assert!(again.stderr().contains("the audit found a difference"), "{}", again.stderr());
}

#[tokio::test]
async fn an_audit_that_cannot_be_done_holds_nothing_up() {
    let site = Site::new(1, 1).await;
    let (mut all, address) = all(&site, "on").await;
    stores(&site, 0..5).await;
    eventually(PATIENCE, async || value(&metrics(&address).await, CLEAN) > Some(0.0)).await;
    site.database.execute("ALTER TABLE dead_letter_removals RENAME TO elsewhere").await;
    let failed = async || value(&metrics(&address).await, FAILED);
    eventually(PATIENCE, async || failed().await > Some(1.0)).await;
    stores(&site, 5..10).await;
    let (status, ready) = get(&format!("http://{address}/readyz")).await;
    assert!(status == 200 && ready.contains("the last round could not be finished"), "{status} {ready}");
    site.database.execute("ALTER TABLE elsewhere RENAME TO dead_letter_removals").await;
    let kept = "SELECT count(*) FROM audits WHERE readings = 10 AND outcome = 'clean'";
    comes_to("an audit", PATIENCE, 1, async || site.database.number(kept).await).await;
    all.terminate();
    assert!(all.ended(PATIENCE).await.success(), "{}", all.stderr());
    assert!(all.stderr().contains("not audited for now; retrying"), "{}", all.stderr());
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let site = Site::new(1, 1).await;
    let (mut all, address) = all(&site, "off").await;
    stores(&site, 0..5).await;
    let metrics = metrics(&address).await;
    assert!(!metrics.contains("sensorpipe_audit_"), "{metrics}");
    let ready = get(&format!("http://{address}/readyz")).await.1;
    assert!(!ready.contains("audit"), "{ready}");
    all.terminate();
    assert!(all.ended(PATIENCE).await.success(), "{}", all.stderr());
    assert_eq!(site.database.number("SELECT count(*) FROM audits").await, 0);
}
