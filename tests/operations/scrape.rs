//! What a process serves.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use testbed::eventually;

use crate::PATIENCE;

/// Status and body of an address of a process; none while nobody listens.
pub(crate) async fn get(address: &str, path: &str) -> Option<(StatusCode, String)> {
    let answer = reqwest::get(format!("http://{address}{path}")).await.ok()?;
    let status = answer.status();
    answer.text().await.ok().map(|text| (status, text))
}

/// Waits until a process is ready.
pub(crate) async fn is_ready(address: &str) {
    eventually(PATIENCE, async || get(address, "/readyz").await.is_some_and(|(status, _)| status == 200))
        .await;
}

/// What `/metrics` answers.
pub(crate) async fn metrics(address: &str) -> String {
    let (status, text) = get(address, "/metrics").await.expect("somebody listens");
    assert_eq!(status, 200);
    text
}

/// The value of a series, such as `sensorpipe_lag_records{partition="0"}`.
pub(crate) fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// The sum over all series of a name.
pub(crate) fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if rest.starts_with('{') || rest.starts_with(' ') {
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        } else {
            None
        }
    });
    values.sum()
}

/// The names that are described.
pub(crate) fn names(metrics: &str) -> BTreeSet<&str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}
