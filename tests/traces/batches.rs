//! A batch with the records of many requests.

use serde_json::Value;
use testbed::{Record, TestDatabase, TestTopic};

use crate::{
    PATIENCE, TIME,
    collector::{Collector, Span},
    role,
};

const LINKS_MAX: usize = 128;

#[tokio::test]
async fn a_batch_is_linked_to_as_many_requests_as_are_bearable() {
    let collector = Collector::start().await;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let record = |sensor_id: i32, second: i64, traceparent: String| {
        let timestamp = TIME + second;
        Record::new(format!(r#"{{"sensor_id":{sensor_id},"value":1,"timestamp":{timestamp}}}"#))
            .header("traceparent", traceparent)
    };
    let of_traces = (1..=500_i64).map(move |n| {
        // Those that are not kept come first.
        let flags = if n <= 200 { "00" } else { "01" };
        record(1, n, format!("00-{n:032x}-{n:016x}-{flags}"))
    });
    let others = [record(1, 501, "00-made-up-01".to_owned()), record(77, 502, String::new())];
    topic.produce(others.into_iter().chain(of_traces)).await;
    let mut worker = role(
        &["worker", "--consumers", "1", "--test-linger-ms", "1500"],
        &database,
        &topic,
        collector.address,
    )
    .env("LOG_FORMAT", "json")
    .start();
    database.stores_all_of(&topic, PATIENCE).await;
    worker.terminate();
    assert!(worker.ended(PATIENCE).await.success());

    let batches = collector.named("process ");
    let number = |key: &str| -> i64 {
        batches.iter().map(|batch| batch.attribute(key).unwrap_or_default().parse::<i64>().unwrap()).sum()
    };
    assert_eq!((number("sensorpipe.stored"), number("sensorpipe.dead_lettered")), (501, 1));
    assert_eq!(number("messaging.batch.message_count"), 502);
    assert!(batches.iter().all(|batch| batch.links().len() <= LINKS_MAX));
    let largest = batches.iter().max_by_key(|batch| batch.links().len()).expect("there is a batch");
    assert_eq!(largest.links().len(), LINKS_MAX);
    for (trace_id, span_id) in largest.links() {
        assert!(i64::from_str_radix(&trace_id, 16).unwrap() > 200, "{trace_id} is not kept");
        let trace = collector.trace(&trace_id);
        let [store] = trace.as_slice() else { panic!("{trace:#?}") };
        assert_eq!((store.parent(), store.links()), (span_id, vec![(largest.trace_id(), largest.span_id())]));
    }
    let links: usize = batches.iter().map(|batch| batch.links().len()).sum();
    assert_eq!(collector.named("store ").len(), links);

    let of_batch = collector.trace(&largest.trace_id());
    let phases: Vec<_> = of_batch.iter().filter(|span| span.parent() == largest.span_id()).collect();
    let names: Vec<&str> = phases.iter().map(|phase| phase.span.name.as_str()).collect();
    assert_eq!(names, ["fill", "prepare", "copy", "commit"]);
    assert!(phases[0].attribute("sensorpipe.decode_seconds").is_some());
    for pair in phases.windows(2) {
        assert!(pair[0].span.end_time_unix_nano <= pair[1].span.start_time_unix_nano, "{pair:#?}");
    }
    assert_eq!(phases[0].span.start_time_unix_nano, largest.span.start_time_unix_nano);

    let log = worker.stderr();
    let dead_lettered = log.lines().find(|line| line.contains("readings dead-lettered")).expect("it is said");
    let line: Value = serde_json::from_str(dead_lettered).unwrap();
    let traces: Vec<String> = batches.iter().map(Span::trace_id).collect();
    assert!(traces.iter().any(|trace_id| line["trace_id"] == **trace_id), "{line}, {traces:?}");
}
