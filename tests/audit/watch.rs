//! `audit --watch`: round after round, with metrics and health.

use testbed::{comes_to, eventually, free_address};

use crate::{
    metrics::get,
    site::{PATIENCE, Site, reading},
};

#[tokio::test]
async fn later_rounds_audit_what_is_new_and_metrics_tell() {
    let site = Site::new(2, 1).await;
    let _worker = site.worker().start();
    site.topic.produce((0..20).map(|n| reading(1, 1.0, n).partition(n as i32 % 2))).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let address = free_address().to_string();
    let mut watch = site
        .role(&["audit", "--watch", "--test-audit-interval", "100ms", "--format", "json"])
        .env("METRICS_ADDR", &address)
        .start();
    let ready = format!("http://{address}/readyz");
    comes_to("ready", PATIENCE, 200, async || get(&ready).await.0).await;
    let metric = async |line: &str| {
        let (_, text) = get(&format!("http://{address}/metrics")).await;
        text.lines().any(|found| found == line)
    };
    eventually(PATIENCE, async || metric("sensorpipe_audit_readings_total 20").await).await;
    assert!(metric(r#"sensorpipe_audit_differences_total{kind="unaccounted"} 0"#).await);

    site.database.forgets("NEW.value = 13").await;
    site.topic.produce((20..30).map(|n| reading(1, (n / 2) as f64, n).partition(n as i32 % 2))).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    eventually(PATIENCE, async || metric("sensorpipe_audit_readings_total 30").await).await;
    eventually(PATIENCE, async || metric("sensorpipe_audit_unaccounted_readings_total 2").await).await;
    assert!(
        metric(r#"sensorpipe_audit_differences_total{kind="unaccounted"} 2"#).await,
        "one of each partition"
    );
    let open = r#"sensorpipe_audit_open_differences{kind="unaccounted"} 2"#;
    eventually(PATIENCE, async || metric(open).await).await;
    assert_eq!(get(&ready).await.0, 200, "a difference is no trouble of the auditor's");

    watch.terminate();
    assert_eq!(watch.ended(PATIENCE).await.code(), Some(1), "{}", watch.stderr());
    let rounds: Vec<serde_json::Value> =
        watch.stdout().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rounds[0]["readings"], 20);
    let read: i64 = rounds.iter().map(|round| round["readings"].as_i64().expect("a number")).sum();
    assert_eq!(read, 30, "nothing twice");
    let named: usize = rounds.iter().map(|round| round["examples"].as_array().expect("a list").len()).sum();
    assert_eq!(named, 2);
}
