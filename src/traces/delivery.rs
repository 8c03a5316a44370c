//! Spans on their way to the collector. The SDK has a bounded queue before this and a thread that waits here.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, SpanExporter as Otlp, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use rustls::crypto::ring;
use tokio::runtime::{Builder, Runtime};

use super::InvalidSetting;

/// Sends spans by OTLP, and says once when that does not work and once when it does again.
#[derive(Debug)]
pub(super) struct Delivery {
    otlp: Otlp,
    /// The client's own, for the process' may have ended when the last spans are sent.
    runtime: Runtime,
    collector: String,
    /// Since the collector last took some.
    lost: AtomicU64,
}

impl Delivery {
    /// To where the environment says; the collector need not be there yet. `collector` is its scheme, host and port.
    pub(super) fn new(collector: &str, timeout: Duration) -> Result<Self, InvalidSetting> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("spans").enable_all().build();
        let runtime = runtime.map_err(|error| Self::impossible(&error))?;
        let otlp = Otlp::builder().with_http().with_protocol(Protocol::HttpBinary).with_timeout(timeout);
        let otlp = if collector.starts_with("https:") {
            // With the TLS that Postgres has, and the certificates that the system trusts.
            let connector = HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(ring::default_provider())
                .map_err(|error| Self::impossible(&error))?
                .https_only()
                .enable_http1()
                .build();
            otlp.with_http_client(HyperClient::new(connector, timeout, None))
        } else {
            otlp.with_http_client(HyperClient::with_default_connector(timeout, None))
        };
        let otlp = otlp.build().map_err(|error| Self::impossible(&error))?;
        Ok(Self { otlp, runtime, collector: collector.to_owned(), lost: AtomicU64::new(0) })
    }

    /// The error may show an endpoint with its secrets, so it is for those who ask for it.
    fn impossible(error: &dyn std::error::Error) -> InvalidSetting {
        tracing::debug!(error = %error, "spans cannot be delivered");
        InvalidSetting {
            variable: "OTEL_EXPORTER_OTLP_*",
            expected: "the compression is gzip or none, and https needs the system's certificates",
        }
    }
}

impl SpanExporter for Delivery {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let count = spans.len() as u64;
        // On the thread that is there for this, and outside of any runtime.
        let delivered = self.runtime.block_on(self.otlp.export(spans));
        match &delivered {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::info!(lost, "spans are delivered to {} again", self.collector);
                }
            }
            Err(error) => {
                if self.lost.fetch_add(count, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        error = %error,
                        "spans are not delivered to {}; they are dropped until it takes them", self.collector
                    );
                }
            }
        }
        delivered
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.otlp.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
