//! A real Prometheus over an api and a worker under load: every panel, every alert and the document of the metrics.

use std::{collections::BTreeSet, time::Duration};

use sensorpipe::metrics::{CATALOGUE, Served};
use testbed::{Record, TestDatabase, TestTopic, eventually, free_address};

use crate::{
    PATIENCE,
    panels::{Query, queries},
    prometheus::{self, Prometheus},
    role, scrape, text_of, worker,
};

/// Metrics whose series come with what they count: no label of theirs is known before a key is made.
const WITH_THE_FIRST: [&str; 2] =
    ["sensorpipe_http_key_requests_total", "sensorpipe_http_key_refusals_total"];

/// `audit --watch` is no part of this system; `tests/audit/watch.rs` looks at its metrics.
fn is_of_the_audit(query: &str) -> bool {
    query.contains("sensorpipe_audit_")
}

/// Every name of ours in a query.
fn names_in(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("sensorpipe_"))
}

/// What a role serves is what the catalogue says of it, and the process' own.
fn serves_its_part(metrics: &str, roles: Served) {
    prometheus::finds_nothing_in(metrics);
    let served = scrape::names(metrics);
    let document = text_of("docs/metrics.md");
    for name in &served {
        assert!(document.contains(&format!("`{name}`")), "{name} is not in docs/metrics.md");
    }
    let described: BTreeSet<&str> = CATALOGUE
        .iter()
        .filter(|metric| metric.served.overlaps(roles) && !WITH_THE_FIRST.contains(&metric.name))
        .map(|metric| metric.name)
        .collect();
    let ours = served.iter().copied().filter(|name| name.starts_with("sensorpipe_")).collect();
    assert_eq!(described, ours, "of {roles:?}");
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(served.contains(name), "{name}");
    }
    for line in metrics.lines().filter(|line| line.starts_with("sensorpipe_")) {
        assert!(!line.contains("sensor_id=") && !line.contains("/sensor_data/1"), "{line}");
    }
}

/// Something of everything, until the value is dropped.
async fn load(api: &str, topic: &TestTopic) {
    let client = reqwest::Client::new();
    for round in 0.. {
        let readings = (1..=20)
            .map(|sensor| format!("{{\"sensor_id\":{sensor},\"value\":{round}}}\n"))
            .collect::<Vec<_>>()
            .concat();
        let request =
            client.post(format!("http://{api}/readings")).header("content-type", "application/x-ndjson");
        assert_eq!(request.body(readings).send().await.expect("the api answers").status(), 202);
        for path in ["/daily_avg/1", "/sensors/latest", "/nowhere"] {
            let _ = scrape::get(api, path).await;
        }
        if round % 5 == 0 {
            topic.produce([Record::new("no JSON")]).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_panel_and_alert_has_its_data() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(4));
    database.add_sensors(20).await;
    let (api, metrics) = (free_address().to_string(), free_address().to_string());
    let _api = role(&["api"]).database(&database).topic(&topic).env("HTTP_ADDR", &api).start();
    let _worker = worker(&database, &topic, "2", &metrics).start();
    let prometheus = Prometheus::start(&[("api", &api), ("worker", &metrics)]).await;
    scrape::is_ready(&api).await;
    scrape::is_ready(&metrics).await;
    tokio::select! {
        () = load(&api, &topic) => {}
        () = look(&api, &metrics, &prometheus) => {}
    }
}

async fn look(api: &str, worker: &str, prometheus: &Prometheus) {
    // The producer tells about its queue each five seconds, and rates take two samples.
    eventually(PATIENCE, async || {
        let [api, worker] =
            ["api", "worker"].map(|job| format!("min_over_time(up{{job=\"{job}\"}}[4s]) == 1"));
        let queue = "min_over_time(sensorpipe_producer_queue_max_records[2s]) > 0".to_owned();
        let stored = "sum(increase(sensorpipe_readings_total{fate=\"stored\"}[5s])) > 0".to_owned();
        for condition in [api, worker, queue, stored] {
            if prometheus.query(&condition).await.is_empty() {
                return false;
            }
        }
        true
    })
    .await;
    serves_its_part(&scrape::metrics(api).await, Served::Api);
    serves_its_part(&scrape::metrics(worker).await, Served::Worker);

    let panels = queries("expr");
    assert!(panels.len() > 60, "{}", panels.len());
    for Query { panel, text } in panels {
        let query = text.replace("$__rate_interval", "10s");
        // A rate takes two samples, and a busy machine has them later.
        let shows = eventually(PATIENCE, async || !prometheus.query(&query).await.is_empty());
        if !is_of_the_audit(&query) {
            println!("{panel} is to show something: {query}");
            shows.await;
        }
    }

    let known = prometheus.ask("/api/v1/label/__name__/values").await;
    let known: BTreeSet<&str> =
        known.as_array().expect("names").iter().filter_map(|name| name.as_str()).collect();
    let groups = prometheus.ask("/api/v1/rules").await;
    let rules = groups["groups"][0]["rules"].as_array().expect("there are rules");
    assert_eq!(rules.len(), 24);
    for rule in rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&"ok".into(), &serde_json::Value::Null), "{rule}");
        let query = rule["query"].as_str().expect("a rule has a query");
        for name in names_in(query) {
            assert!(known.contains(name) || is_of_the_audit(name), "{}: no {name}", rule["name"]);
        }
        let runbook = rule["annotations"]["runbook_url"].as_str().expect("a rule says where to read on");
        let name = rule["name"].as_str().expect("a rule has a name");
        assert_eq!(runbook, format!("docs/operations.md#{}", name.to_lowercase()));
    }
}
