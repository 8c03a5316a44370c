//! What is deployed beside the binary names what the binary has.

use std::collections::BTreeSet;

/// Every `sensorpipe_…` word of a text.
fn metric_names(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("sensorpipe_"))
        .collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let there_are = metric_names(include_str!("../src/metrics.rs"));
    let dashboard = include_str!("../deploy/grafana/dashboards/overview.json");
    serde_json::from_str::<serde_json::Value>(dashboard).expect("the dashboard is JSON");
    let asked_for = metric_names(dashboard);
    assert!(asked_for.len() > 10, "{asked_for:?}");
    for name in asked_for {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(there_are.contains(base.unwrap_or(name)), "{name} is not in src/metrics.rs");
    }
}
