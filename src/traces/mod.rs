//! Traces of requests and batches, for an OpenTelemetry collector; the only place that names `opentelemetry`.
//!
//! ```text
//! the client's span
//! └─ POST /sensor_data/{sensor_id}   api: a request
//!    └─ send sensor-readings         api: its records; this span's context is in their headers
//!       └─ store sensor-readings     worker: the transaction that stored them ─ link ─┐
//!                                                                                     ▼
//! process sensor-readings            worker: a batch, in a trace of its own, with links to the requests
//! ├─ fill ├─ prepare ├─ copy └─ commit
//! ```
//!
//! Where no collector is configured, [`are_on`] is a load from memory and nothing else of this module runs. Spans are
//! made by hand and not by way of `tracing`: their times and links are known only afterwards, and a process without a
//! collector would pay for each of them.

mod batch;
mod context;
mod delivery;
mod publish;
mod request;
mod sampler;
mod settings;

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    trace::{Config, SdkTracer, SdkTracerProvider},
};

pub use self::{
    batch::{BatchSpan, Filled},
    context::{Remote, TRACEPARENT, TRACESTATE, is_traceparent},
    publish::PublishSpan,
    request::RequestSpan,
    settings::{InvalidSetting, Settings},
};
use self::{delivery::Delivery, sampler::LinkedSampler};

/// Longest wait at the end for spans that are not delivered yet.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

tokio::task_local! {
    /// The span that the task works in.
    static CURRENT: Option<SpanContext>;
}

/// The traces of this process, to be finished once nothing makes spans any more.
#[must_use]
pub struct Traces(Option<SdkTracerProvider>);

/// Where a span is, in hexadecimal, for those who look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
}

impl Traces {
    /// A process that makes no spans.
    pub fn off() -> Self {
        Self(None)
    }

    /// Once a process, outside of the runtime: delivery has threads of its own, and waits on them.
    ///
    /// `service` is the process' name where the environment has none.
    pub fn start(settings: Settings, service: &'static str) -> Result<Self, InvalidSetting> {
        let Settings::On { collector, timeout, is_named } = settings else { return Ok(Self::off()) };
        let mut resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string()));
        if !is_named {
            resource = resource.with_service_name(service);
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_sampler(LinkedSampler::new(Config::default().sampler))
            .with_batch_exporter(Delivery::new(&collector, timeout)?)
            .build();
        let scope = InstrumentationScope::builder("sensorpipe").with_version(env!("CARGO_PKG_VERSION"));
        // A process starts them once; whoever does so again keeps the first.
        let _ = TRACER.set(provider.tracer_with_scope(scope.build()));
        tracing::info!("traces go to {collector}");
        Ok(Self(Some(provider)))
    }

    /// Delivers what is left, within a bound. Outside of the runtime.
    pub fn finish(self) {
        // What went wrong has been said by then, or is that the time was up.
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(error = %error, "the last spans were not delivered");
        }
    }
}

/// Whether spans are made.
pub fn are_on() -> bool {
    TRACER.get().is_some()
}

/// Works in a span: log lines name it.
pub fn within<F: Future>(span: Option<SpanContext>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(span, work)
}

/// The span that this task works in.
pub fn current_ids() -> Option<Ids> {
    let context = current()?;
    Some(Ids { trace_id: context.trace_id().to_string(), span_id: context.span_id().to_string() })
}

/// What every span says that has to do with a topic.
fn messaging(topic: &str, operation: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
    ]
}

fn current() -> Option<SpanContext> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}
