//! `docs/metrics.md`, written from the catalogue.

use std::fmt::Write as _;

use super::{CATALOGUE, Kind, Metric, Served, Values};

const HEAD: &str = "# Metrics

Written from `src/metrics/catalogue.rs` by `UPDATE_DOCS=1 cargo test --test operations document`; a test holds it there.

`api` and `all` serve `/metrics` on `HTTP_ADDR`, a `worker` on `METRICS_ADDR`; `all` has what both have, and unless
`AUDIT=off` what the audit has. `audit --watch` serves its own on `METRICS_ADDR`, besides what both have. Series whose
labels are known are there from the start. No label holds a sensor's id, an address or the text of an error. Everything
is recorded per batch or per request, never per reading.
";

const TAIL: &str = "
## The process itself

On both, as Prometheus' own client libraries have them, where the system tells: `process_cpu_seconds_total`,
`process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_virtual_memory_max_bytes`, `process_open_fds`,
`process_max_fds`, `process_threads`, `process_start_time_seconds`.
";

/// The document.
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    for (served, title) in [
        (Served::Worker, "On workers"),
        (Served::Api, "On apis"),
        (Served::Both, "On both"),
        (Served::Audit, "On audits: `audit --watch`, `all`"),
    ] {
        let _ = write!(
            text,
            "\n## {title}\n\n| metric | type | unit | labels | what it says |\n|---|---|---|---|---|\n"
        );
        for metric in CATALOGUE.iter().filter(|metric| metric.served == served) {
            row(&mut text, metric);
        }
    }
    text + TAIL
}

fn row(text: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|label| {
            let values = match label.values {
                Values::OneOf(values) => ticked(values),
                Values::AtLeast(values, others) => format!("{}, {others}", ticked(values)),
                Values::Named(what) => what.to_owned(),
            };
            format!("`{}`: {values}", label.name)
        })
        .collect();
    let Metric { name, unit, help, .. } = metric;
    let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join("<br>"));
}

fn ticked(values: &[&str]) -> String {
    values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
}
