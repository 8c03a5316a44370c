//! The records of a request on their way into Kafka.

use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanKind, Status, Tracer as _},
};
use opentelemetry_sdk::trace::Span;

use super::{
    TRACER,
    context::{TRACEPARENT, TRACESTATE, as_parent, traceparent},
    current, messaging,
};

/// The span of sending, whose context the records carry.
pub struct PublishSpan(Span);

impl PublishSpan {
    /// In the request that the task works on. None where traces are off.
    pub fn start(topic: &str) -> Option<Self> {
        let tracer = TRACER.get()?;
        let parent = current().map_or_else(Context::new, as_parent);
        let builder = tracer
            .span_builder(format!("send {topic}"))
            .with_kind(SpanKind::Producer)
            .with_attributes(messaging(topic, "send"));
        Some(Self(tracer.build_with_context(builder, &parent)))
    }

    /// Names and values of the headers that lead here.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let context = self.0.span_context();
        let mut headers = vec![(TRACEPARENT, traceparent(context))];
        let state = context.trace_state().header();
        if !state.is_empty() {
            headers.push((TRACESTATE, state));
        }
        headers
    }

    /// Kafka has all of it. `first` is where the first record is: partition and offset.
    pub fn sent(mut self, records: usize, readings: usize, first: Option<(i32, i64)>) {
        self.0.set_attribute(KeyValue::new("messaging.batch.message_count", records as i64));
        self.0.set_attribute(KeyValue::new("sensorpipe.readings", readings as i64));
        if let Some((partition, offset)) = first {
            self.0.set_attribute(KeyValue::new("messaging.destination.partition.id", partition.to_string()));
            self.0.set_attribute(KeyValue::new("messaging.kafka.offset", offset));
        }
        self.0.end();
    }

    /// Kafka may have some of it, or none.
    pub fn failed(mut self, error: &dyn std::error::Error) {
        self.0.set_status(Status::error(error.to_string()));
        self.0.end();
    }
}
