//! One trace from the client to the database; and which traces are kept.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use testbed::{TestDatabase, TestTopic, free_address};

use crate::{
    CLIENT_SPAN, PATIENCE, TRACE,
    collector::{Collector, Span},
    is_ready, post, role, traceparent,
};

/// Nothing is delivered before the end, so what is there was flushed then.
const AT_THE_END: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "600000");

#[tokio::test]
async fn a_request_leads_to_the_transaction_that_stored_it() {
    let collector = Collector::start().await;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let address = free_address();
    let mut api = role(&["api"], &database, &topic, collector.address)
        .env("HTTP_ADDR", &address.to_string())
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env(AT_THE_END.0, AT_THE_END.1)
        .start();
    let mut worker = role(&["worker", "--consumers", "1"], &database, &topic, collector.address)
        .env("OTEL_SERVICE_NAME", "my-worker")
        .env(AT_THE_END.0, AT_THE_END.1)
        .start();
    is_ready(address).await;
    let (status, answer) = post(address, 0, |request| {
        request
            .header("traceparent", traceparent("01"))
            .header("tracestate", "a=b")
            .header("x-request-id", "request-7")
            .header("prefer", "wait=15")
    })
    .await;
    assert_eq!((status.as_u16(), &answer["state"]), (200, &Value::from("stored")), "{answer}");
    for process in [&mut api, &mut worker] {
        process.terminate();
        assert!(process.ended(PATIENCE).await.success());
    }

    let trace = collector.trace(TRACE);
    let [request, publish, store] = trace.as_slice() else { panic!("{trace:#?}") };
    assert_eq!(request.span.name, "POST /sensor_data/{sensor_id}");
    assert_eq!((request.parent().as_str(), request.span.kind()), (CLIENT_SPAN, SpanKind::Server));
    assert_eq!(request.span.trace_state, "a=b");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/sensor_data/{sensor_id}"),
        ("url.path", "/sensor_data/1"),
        ("http.response.status_code", "200"),
        ("request.id", "request-7"),
    ] {
        assert_eq!(request.attribute(key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(publish.span.name, format!("send {}", topic.name));
    assert_eq!((publish.parent(), publish.span.kind()), (request.span_id(), SpanKind::Producer));
    assert_eq!(publish.attribute("messaging.system").as_deref(), Some("kafka"));
    assert_eq!(publish.attribute("messaging.batch.message_count").as_deref(), Some("1"));
    assert_eq!(store.span.name, format!("store {}", topic.name));
    assert_eq!((store.parent(), store.span.kind()), (publish.span_id(), SpanKind::Consumer));
    assert_eq!(store.span.trace_state, "a=b");
    let place = [&answer["receipt"]["partition"], &answer["receipt"]["offset"]].map(ToString::to_string);
    for span in [publish, store] {
        let told = ["messaging.destination.partition.id", "messaging.kafka.offset"]
            .map(|key| span.attribute(key).unwrap_or_default());
        assert_eq!(told, place, "{}", span.span.name);
    }
    let services = trace.iter().map(|span| span.service.as_str()).collect::<Vec<_>>();
    assert_eq!(services, ["sensorpipe-api", "sensorpipe-api", "my-worker"]);

    let batches = collector.named("process ");
    let [batch] = batches.as_slice() else { panic!("{batches:#?}") };
    assert_eq!(store.links(), [(batch.trace_id(), batch.span_id())]);
    assert_eq!(batch.links(), [(TRACE.to_owned(), publish.span_id())]);
    assert_eq!((batch.parent().as_str(), batch.span.kind()), ("", SpanKind::Consumer));
    assert_ne!(batch.trace_id(), TRACE);
    assert!(batch.span.start_time_unix_nano <= store.span.start_time_unix_nano);
    assert_eq!(batch.span.end_time_unix_nano, store.span.end_time_unix_nano);

    let everything = format!("{:?}", collector.spans());
    assert!(!everything.contains("1234.5"), "a value is in a span: {everything}");
}

#[tokio::test]
async fn log_lines_name_the_trace_that_they_are_about() {
    let collector = Collector::start().await;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let address = free_address();
    let mut api = role(&["api"], &database, &topic, collector.address)
        .env("HTTP_ADDR", &address.to_string())
        .env("LOG_FORMAT", "json")
        .start();
    is_ready(address).await;
    let answer = reqwest::Client::new()
        .put(format!("http://{address}/log-level"))
        .json(&serde_json::json!({"level": "info"}))
        .header("traceparent", traceparent("00"))
        .header("x-request-id", "request-8")
        .send()
        .await;
    assert_eq!(answer.expect("the api answers").status(), 200);
    api.terminate();
    assert!(api.ended(PATIENCE).await.success());
    let log = api.stderr();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let (ours, others): (Vec<Value>, Vec<Value>) = lines.partition(|line| line["request.id"] == "request-8");
    assert!(!ours.is_empty() && !others.is_empty(), "{log}");
    assert!(ours.iter().all(|line| line["trace_id"] == TRACE && line["span_id"] != CLIENT_SPAN), "{ours:?}");
    assert!(others.iter().all(|line| line["trace_id"].is_null()), "{others:?}");
    assert!(collector.spans().is_empty(), "the trace is not kept");
}

#[tokio::test]
async fn the_client_decides_where_the_sampler_goes_by_parents() {
    let collector = Collector::start().await;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let address = free_address();
    let by_parents = ("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    let mut api = role(&["api"], &database, &topic, collector.address)
        .env("HTTP_ADDR", &address.to_string())
        .env(by_parents.0, by_parents.1)
        .start();
    let mut worker = role(&["worker", "--consumers", "1"], &database, &topic, collector.address)
        .env(by_parents.0, by_parents.1)
        .start();
    is_ready(address).await;
    let other_trace = traceparent("00").replace(TRACE, &TRACE.replace('0', "1"));
    let malformed = traceparent("01").replace("00-", "ff-");
    for (second, header) in
        [(1, None), (2, Some(other_trace)), (3, Some(malformed)), (4, Some(traceparent("01")))]
    {
        let (status, answer) = post(address, second, |request| {
            let request = request.header("prefer", "wait=15");
            header.into_iter().fold(request, |request, header| request.header("traceparent", header))
        })
        .await;
        assert_eq!((status.as_u16(), &answer["state"]), (200, &Value::from("stored")), "{answer}");
    }
    for process in [&mut api, &mut worker] {
        process.terminate();
        assert!(process.ended(PATIENCE).await.success());
    }
    let kept = collector.trace(TRACE);
    assert_eq!(
        kept.iter().map(|span| span.span.name.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["POST", "send", "store"]
    );
    let batches = collector.named("process ");
    assert_eq!(batches.len(), 1, "the batch of the kept one alone: {batches:#?}");
    let traces: BTreeSet<String> = collector.spans().iter().map(Span::trace_id).collect();
    assert_eq!(traces, BTreeSet::from([TRACE.to_owned(), batches[0].trace_id()]));
}
