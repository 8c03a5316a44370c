//! A watch keeps to what it may use up.

use std::time::Duration;

use serde_json::Value;
use testbed::{Readings, eventually, free_address};

use crate::{
    metrics::{metrics, value},
    site::{PATIENCE, Site},
};

/// Readings of ten sensors, a hundred in each of so many records, all of them stored.
async fn stored(records: i64) -> Site {
    let site = Site::new(2, 10).await;
    let readings = Readings { first_sensor: 1, sensors: 10, per_record: 100, step_ms: 1_000 };
    site.topic.produce(readings.records(0..records)).await;
    site.store_all().await;
    site
}

/// The first round of a watch: how long it took, and the share of a core that the process used from its start on.
async fn first_round(site: &Site, readings: i64, flags: &[&str]) -> (Duration, f64) {
    let address = free_address().to_string();
    let args = [&["audit", "--watch", "--no-table-count", "--format", "json"], flags].concat();
    let watch = site.role(&args).env("METRICS_ADDR", &address).start();
    let mut metrics_text = String::new();
    eventually(PATIENCE, async || {
        metrics_text = metrics(&address).await;
        value(&metrics_text, "sensorpipe_audit_up_to_timestamp_seconds") > Some(0.0)
    })
    .await;
    let round: Value = serde_json::from_str(watch.stdout().lines().next().expect("a round")).expect("JSON");
    assert_eq!(round["readings"], readings);
    let seconds = round["seconds"].as_f64().expect("a number");
    let cpu_seconds = value(&metrics_text, "process_cpu_seconds_total").expect("it is measured");
    (Duration::from_secs_f64(seconds), cpu_seconds / seconds)
}

#[tokio::test]
async fn a_share_of_a_core_is_kept_to() {
    let site = stored(300).await;
    let (freely, _) = first_round(&site, 30_000, &["--audit-cpu-share", "1"]).await;
    let (paced, used) = first_round(&site, 0, &[]).await;
    assert!(paced < freely, "what is audited is not audited again: {paced:?} after {freely:?}, {used}");

    site.database.execute("DELETE FROM audits").await;
    let (paced, used) = first_round(&site, 30_000, &["--audit-cpu-share", "0.05"]).await;
    // Its start costs something that is no part of the round.
    assert!(used < 0.25, "{used} of a core in {paced:?}");
    assert!(paced > 2 * freely, "{paced:?} against {freely:?}");
}
