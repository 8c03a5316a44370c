//! A collector that takes spans by OTLP over HTTP and keeps them.

use std::{
    io::Read,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1,
};
use prost::Message;
use tokio::net::TcpListener;

/// Listens until the test's runtime ends.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    taken: Taken,
}

type Taken = Arc<Mutex<Vec<Span>>>;

/// A span and the service that it is of.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) span: v1::Span,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Taken::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { address, taken }
    }

    /// Everything so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.taken.lock().unwrap().clone()
    }

    /// The spans of a trace, the first to begin in front.
    pub(crate) fn trace(&self, trace_id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id() == trace_id);
        spans.sort_by_key(|span| span.span.start_time_unix_nano);
        spans
    }

    /// The spans whose names begin so.
    pub(crate) fn named(&self, start: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.span.name.starts_with(start));
        spans
    }
}

async fn take(State(taken): State<Taken>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut bytes = Vec::new();
    match headers.get("content-encoding") {
        Some(encoding) if encoding == "gzip" => {
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut bytes).unwrap();
        }
        _ => bytes.extend_from_slice(&body),
    }
    let request = ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
    for of_resource in request.resource_spans {
        let attributes = of_resource.resource.unwrap_or_default().attributes;
        let service = text(&attributes, "service.name").unwrap_or_default();
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        taken.lock().unwrap().extend(spans.map(|span| Span { service: service.clone(), span }));
    }
    StatusCode::OK
}

impl Span {
    pub(crate) fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// The spans that it is linked to: trace and span.
    pub(crate) fn links(&self) -> Vec<(String, String)> {
        self.span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect()
    }

    /// An attribute as text; none where it is not there, or is there twice.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next()?.value.as_ref()?.value.as_ref()?;
    let text = match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    };
    found.next().is_none().then_some(text)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}
