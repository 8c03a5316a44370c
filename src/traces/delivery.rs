//! Spans on their way to the collector. The SDK has a bounded queue before this and a thread that waits here.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{Protocol, SpanExporter as Otlp, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use super::InvalidSetting;

/// Sends spans by OTLP, and says once when that does not work and once when it does again.
#[derive(Debug)]
pub(super) struct Delivery {
    otlp: Otlp,
    collector: String,
    /// Since the collector last took some.
    lost: AtomicU64,
}

impl Delivery {
    /// To where the environment says; the collector need not be there yet. `collector` is for the log.
    pub(super) fn new(collector: &str) -> Result<Self, InvalidSetting> {
        // Whoever is asked by HTTPS is asked with the TLS that Postgres is; another default is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let otlp = Otlp::builder().with_http().with_protocol(Protocol::HttpBinary).build();
        let otlp = otlp.map_err(|error| {
            tracing::debug!(error = %error, "the exporter of spans cannot be made");
            InvalidSetting {
                variable: "OTEL_EXPORTER_OTLP_*",
                expected: "the endpoint is a URL, the timeout milliseconds, the compression gzip or none",
            }
        })?;
        Ok(Self { otlp, collector: collector.to_owned(), lost: AtomicU64::new(0) })
    }
}

impl SpanExporter for Delivery {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let count = spans.len() as u64;
        let delivered = self.otlp.export(spans).await;
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
