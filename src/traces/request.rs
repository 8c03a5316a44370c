//! A request to the api.

use std::borrow::Cow;

use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanContext, SpanKind, Status, Tracer as _},
};
use opentelemetry_sdk::trace::Span;

use super::{Remote, TRACER};

/// Longest path that is kept; what identifies a thing is shorter.
const PATH_MAX_BYTES: usize = 256;

/// The span of a request.
pub struct RequestSpan(Span);

impl RequestSpan {
    /// None where traces are off. `method` is one of a few, `route` a template and `path` what the client asked for.
    pub fn start(
        method: &'static str,
        route: &str,
        path: &str,
        request_id: &str,
        client: Option<&Remote>,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let parent = client.map_or_else(Context::new, Remote::as_parent);
        let method = if method == "other" { "_OTHER" } else { method };
        let path = path.get(..path.len().min(PATH_MAX_BYTES)).unwrap_or(route);
        let builder =
            tracer.span_builder(format!("{method} {route}")).with_kind(SpanKind::Server).with_attributes([
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", route.to_owned()),
                KeyValue::new("url.path", path.to_owned()),
                KeyValue::new("url.scheme", "http"),
                KeyValue::new("request.id", request_id.to_owned()),
            ]);
        Some(Self(tracer.build_with_context(builder, &parent)))
    }

    /// Where it is in its trace.
    pub fn context(&self) -> SpanContext {
        self.0.span_context().clone()
    }

    /// The request is answered.
    pub fn answered(mut self, status: u16) {
        self.0.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        // By the conventions an error of the client's is none of the server's.
        if status >= 500 {
            self.0.set_attribute(KeyValue::new("error.type", status.to_string()));
            self.0.set_status(Status::Error { description: Cow::Borrowed("") });
        }
        self.0.end();
    }
}
