//! The recorder, and what is only looked up when somebody asks.

use std::sync::Arc;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

use super::{BUILD_INFO, CATALOGUE, COMPONENT_UP, Kind, Metric, READY, Served};
use crate::{
    health::{Health, State},
    version,
};

/// What `/metrics` answers; clones share it.
#[derive(Clone)]
pub struct Exposition {
    handle: PrometheusHandle,
    collectors: Arc<Mutex<Vec<Collector>>>,
    appendices: Arc<Mutex<Vec<Appendix>>>,
}

/// Sets gauges to what they are now.
type Collector = Box<dyn Fn() + Send>;

/// Writes series that are not the recorder's.
type Appendix = Box<dyn Fn() -> String + Send>;

impl From<PrometheusHandle> for Exposition {
    fn from(handle: PrometheusHandle) -> Self {
        Self { handle, collectors: Arc::default(), appendices: Arc::default() }
    }
}

impl Exposition {
    /// Has `collect` called before each answer: for what costs nothing until somebody asks.
    pub fn collect_with(&self, collect: impl Fn() + Send + 'static) {
        self.collectors.lock().push(Box::new(collect));
    }

    /// Has what `append` writes added to each answer: series that end, which the recorder would keep for ever.
    pub fn append_with(&self, append: impl Fn() -> String + Send + 'static) {
        self.appendices.lock().push(Box::new(append));
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        for collect in self.collectors.lock().iter() {
            collect();
        }
        let mut text = self.handle.render();
        for append in self.appendices.lock().iter() {
            text.push_str(&append());
        }
        text
    }

    /// Makes histograms give up their samples; to be called now and then.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Installs the recorder for these roles, once a process.
///
/// Every series whose labels are known is there from the start, at 0: an increase from nothing is none to Prometheus.
pub fn install(roles: Served, health: &Health) -> Result<Exposition, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in CATALOGUE {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let exposition = Exposition::from(builder.install_recorder()?);
    CATALOGUE.iter().filter(|metric| metric.served.overlaps(roles)).for_each(describe);
    metrics::gauge!(BUILD_INFO, "version" => version::VERSION, "commit" => version::COMMIT).set(1);
    let process = metrics_process::Collector::default();
    process.describe();
    exposition.collect_with(move || process.collect());
    let health = health.clone();
    exposition.collect_with(move || {
        let report = health.report();
        metrics::gauge!(READY).set(u8::from(report.ready));
        for (component, state) in report.components {
            metrics::gauge!(COMPONENT_UP, "component" => component).set(u8::from(state == State::Up));
        }
    });
    Ok(exposition)
}

fn describe(metric: &Metric) {
    let (name, help) = (metric.name, metric.help);
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(name, help),
        Kind::Gauge => metrics::describe_gauge!(name, help),
        Kind::Histogram(_) => metrics::describe_histogram!(name, help),
    }
    for labels in metric.known_labels() {
        match metric.kind {
            Kind::Counter => metrics::counter!(name, &labels).increment(0),
            Kind::Gauge => metrics::gauge!(name, &labels).set(0),
            Kind::Histogram(_) => drop(metrics::histogram!(name, &labels)),
        }
    }
}
