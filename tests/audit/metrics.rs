//! What a process serves.

/// What it answers on a path; nothing while nobody listens.
pub(crate) async fn get(url: &str) -> (u16, String) {
    match reqwest::get(url).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(_) => (0, String::new()),
    }
}

/// Its metrics.
pub(crate) async fn metrics(address: &str) -> String {
    get(&format!("http://{address}/metrics")).await.1
}

/// The value of a series; none where there is no such series.
pub(crate) fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}
