//! A batch and the transaction that stores it.

use std::{
    collections::HashSet,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, Span as _, SpanContext, SpanKind, Tracer as _},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::{Remote, TRACER, context::as_parent, messaging};
use crate::{
    batch::{Batch, Tally},
    store::{Phases, Report},
};

const PROCESS: &str = "process";
/// Most requests that a batch is linked to. It is also how many links the SDK keeps by default.
const LINKS_MAX: usize = 128;

/// How a batch was filled.
#[derive(Clone, Copy, Debug)]
pub struct Filled {
    /// When its first record was taken.
    pub started: Instant,
    /// When it was handed over.
    pub ended: Instant,
    /// What taking records out of the queues took.
    pub fetch: Duration,
    /// What decoding them took.
    pub decode: Duration,
}

/// The span of a batch, from its first record to its commit.
pub struct BatchSpan {
    tracer: &'static SdkTracer,
    span: Span,
    topic: String,
    requests: Vec<Request>,
    filled: Option<Filled>,
    clock: Clock,
}

/// Who asked for a record, and where the first of that record's kind is.
struct Request {
    remote: Remote,
    partition: i32,
    offset: i64,
}

/// Spans are told in the time of day, and everything here is measured by the clock that never jumps.
#[derive(Clone, Copy)]
struct Clock(Instant, SystemTime);

impl BatchSpan {
    /// Of a batch that is about to be written. None where traces are off.
    pub fn start(topic: &str, batch: &Batch, filled: Option<Filled>) -> Option<Self> {
        let tracer = TRACER.get()?;
        let clock = Clock(Instant::now(), SystemTime::now());
        let (records, requests) = requests_of(batch);
        let links = requests.iter().map(|request| Link::with_context(request.remote.0.clone())).collect();
        let mut attributes = messaging(topic, PROCESS);
        attributes.extend([
            KeyValue::new("messaging.batch.message_count", records as i64),
            KeyValue::new("sensorpipe.readings", batch.reading_count() as i64),
            KeyValue::new("sensorpipe.bytes", batch.byte_count() as i64),
            KeyValue::new("sensorpipe.partitions", batch.spans().len() as i64),
        ]);
        if let [only] = batch.spans() {
            let partition = only.partition.to_string();
            attributes.push(KeyValue::new("messaging.destination.partition.id", partition));
        }
        let builder = tracer
            .span_builder(format!("process {topic}"))
            .with_kind(SpanKind::Consumer)
            .with_start_time(clock.at(filled.map_or(clock.0, |filled| filled.started)))
            .with_attributes(attributes)
            .with_links(links);
        let span = tracer.build_with_context(builder, &Context::new());
        Some(Self { tracer, span, topic: topic.to_owned(), requests, filled, clock })
    }

    /// Where it is in its trace.
    pub fn context(&self) -> SpanContext {
        self.span.span_context().clone()
    }

    /// An attempt failed, and there will be another.
    pub fn failed_once(&mut self, sqlstate: Option<String>) {
        let state = sqlstate.map(|state| KeyValue::new("db.response.status_code", state));
        self.span.add_event("retry", state.into_iter().collect());
    }

    /// Nothing was written: somebody else owns some of its partitions.
    pub fn fenced(mut self, partitions: usize) {
        self.span.set_attribute(KeyValue::new("sensorpipe.outcome", "fenced"));
        self.span.set_attribute(KeyValue::new("sensorpipe.fenced_partitions", partitions as i64));
        self.span.end();
    }

    /// It was too much for one transaction, and its records are read again for smaller ones.
    pub fn cut(mut self) {
        self.span.set_attribute(KeyValue::new("sensorpipe.outcome", "too_much"));
        self.span.end();
    }

    /// All of it is stored. The trace of each request gets a span that says so and leads here.
    pub fn committed(mut self, report: &Report) {
        let ended = Instant::now();
        let Tally { stored, duplicates, dead_lettered } = report.total;
        self.span.set_attributes([
            KeyValue::new("sensorpipe.outcome", "committed"),
            KeyValue::new("sensorpipe.stored", stored),
            KeyValue::new("sensorpipe.duplicates", duplicates),
            KeyValue::new("sensorpipe.dead_lettered", dead_lettered),
        ]);
        if self.span.is_recording() {
            self.phases(report.phases, ended);
        }
        let context = self.context();
        for request in &self.requests {
            self.stored(request, context.clone(), ended);
        }
        self.span.end_with_timestamp(self.clock.at(ended));
    }

    fn phases(&self, Phases { prepare, copy, commit }: Phases, ended: Instant) {
        if let Some(filled) = self.filled {
            let took = [
                KeyValue::new("sensorpipe.fetch_seconds", filled.fetch.as_secs_f64()),
                KeyValue::new("sensorpipe.decode_seconds", filled.decode.as_secs_f64()),
            ];
            self.phase("fill", SpanKind::Internal, (filled.started, filled.ended), took);
        }
        let mut end = ended;
        for (name, took) in [("commit", commit), ("copy", copy), ("prepare", prepare)] {
            let start = end.checked_sub(took).unwrap_or(end);
            let database = [KeyValue::new("db.system.name", "postgresql")];
            self.phase(name, SpanKind::Client, (start, end), database);
            end = start;
        }
    }

    fn phase<const N: usize>(
        &self,
        name: &'static str,
        kind: SpanKind,
        (start, end): (Instant, Instant),
        attributes: [KeyValue; N],
    ) {
        let builder = self
            .tracer
            .span_builder(name)
            .with_kind(kind)
            .with_start_time(self.clock.at(start))
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, &as_parent(self.context()));
        span.end_with_timestamp(self.clock.at(end));
    }

    /// Not every backend shows, beside a request's trace, what is linked to it; all show what is in it.
    fn stored(&self, request: &Request, batch: SpanContext, ended: Instant) {
        let mut attributes = messaging(&self.topic, PROCESS);
        attributes.extend([
            KeyValue::new("messaging.destination.partition.id", request.partition.to_string()),
            KeyValue::new("messaging.kafka.offset", request.offset),
        ]);
        let builder = self
            .tracer
            .span_builder(format!("store {}", self.topic))
            .with_kind(SpanKind::Consumer)
            .with_start_time(self.clock.1)
            .with_attributes(attributes)
            .with_links(vec![Link::with_context(batch)]);
        let mut span = self.tracer.build_with_context(builder, &request.remote.as_parent());
        span.end_with_timestamp(self.clock.at(ended));
    }
}

impl Clock {
    fn at(self, instant: Instant) -> SystemTime {
        let Self(now, time) = self;
        if instant >= now { time + (instant - now) } else { time - (now - instant) }
    }
}

/// How many records there are, and who asked for them: those whose traces are kept, each once, up to a bound.
///
/// The others have no span that a link could lead to.
fn requests_of(batch: &Batch) -> (usize, Vec<Request>) {
    let (mut records, mut requests, mut known) = (0, Vec::new(), HashSet::new());
    for origin in batch.origins() {
        records += 1;
        if requests.len() == LINKS_MAX || origin.headers.is_empty() {
            continue;
        }
        if let Some(remote) = Remote::sampled(origin.headers)
            && known.insert((remote.0.trace_id(), remote.0.span_id()))
        {
            requests.push(Request { remote, partition: origin.partition, offset: origin.offset });
        }
    }
    (records, requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{Header, Limits, Record},
        reading::{Timestamp, Window, untimed::GivenTimes},
    };

    fn batch(headers: impl IntoIterator<Item = Vec<Header>>) -> Batch {
        let limits = Limits { max_readings: 10_000, max_bytes: 1 << 20, max_record_bytes: 1_000 };
        let mut batch = Batch::new(limits);
        let window = Window { since: Timestamp::from_micros(0), until: Timestamp::from_micros(i64::MAX) };
        let mut given = GivenTimes::default();
        for (offset, headers) in (0..).zip(headers) {
            let record = Record {
                partition: 3,
                offset,
                timestamp: Some(Timestamp::from_micros(0)),
                leader_epoch: None,
                key: None,
                payload: Some(br#"{"sensor_id":1,"value":1}"#),
                headers,
            };
            batch.push(&record, offset, &window, &mut given);
        }
        batch
    }

    fn traceparent(span: u32, flags: &str) -> Vec<Header> {
        let value = format!("00-0af7651916cd43dd8448eb211c80319c-{span:016x}-{flags}");
        vec![("x-request-id".to_owned(), None), ("traceparent".to_owned(), Some(value.into_bytes()))]
    }

    #[test]
    fn a_request_counts_once_and_only_where_it_is_kept() {
        let of_two =
            [(1, "01"), (2, "00"), (1, "01"), (3, "01")].map(|(span, flags)| traceparent(span, flags));
        let (records, requests) = requests_of(&batch(of_two.into_iter().chain([vec![]])));
        assert_eq!(records, 5);
        let found: Vec<_> = requests.iter().map(|request| (request.partition, request.offset)).collect();
        assert_eq!(found, [(3, 0), (3, 3)]);
    }

    #[test]
    fn requests_have_a_bound_that_those_which_are_not_kept_do_not_use_up() {
        let headers = (1..=1_000).map(|n| traceparent(n, if n <= 500 { "00" } else { "01" }));
        let (records, requests) = requests_of(&batch(headers));
        assert_eq!((records, requests.len()), (1_000, LINKS_MAX));
        assert_eq!(requests[0].offset, 500);
    }

    #[test]
    fn what_was_given_up_has_no_part_in_it() {
        let mut batch = batch([traceparent(1, "01")]);
        batch.discard(&[3].into());
        assert_eq!(requests_of(&batch).0, 0);
    }

    #[test]
    fn the_clock_goes_both_ways() {
        let clock = Clock(Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(100));
        let second = Duration::from_secs(1);
        assert_eq!(clock.at(clock.0 + second), clock.1 + second);
        assert_eq!(clock.at(clock.0.checked_sub(second).unwrap()), clock.1 - second);
    }
}
