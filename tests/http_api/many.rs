//! `POST /readings`.

use std::collections::BTreeMap;

use rdkafka::{
    Message,
    admin::{AdminOptions, NewTopic, TopicReplication},
    message::Headers,
};
use serde_json::{Value, json};
use testbed::TestTopic;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::site::{PATIENCE, Site};

const NDJSON: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Readings that take turns among sensors, a second apart.
fn readings(count: i64, sensors: i64) -> Vec<Value> {
    let reading = |n| json!({"sensor_id": n % sensors + 1, "value": n, "timestamp": 1_728_743_340 + n});
    (0..count).map(reading).collect()
}

fn ndjson(readings: &[Value]) -> String {
    readings.iter().flat_map(|reading| [reading.to_string(), "\n".to_owned()]).collect()
}

/// Index and code of each error.
fn errors(answer: &Value) -> Vec<(i64, String)> {
    let error = |error: &Value| {
        assert!(!error["message"].as_str().unwrap().is_empty());
        (error["index"].as_i64().unwrap(), error["code"].as_str().unwrap().to_owned())
    };
    answer["errors"].as_array().unwrap().iter().map(error).collect()
}

#[tokio::test]
async fn readings_of_many_sensors_are_one_record_for_each_partition() {
    let site = Site::start().await;
    site.database.add_sensors(40).await;
    let readings = readings(400, 40);
    for (headers, body) in [(JSON, json!(readings).to_string()), (NDJSON, ndjson(&readings))] {
        let before = site.records().await;
        let answer = site.server.send("/readings", &headers, body).await.expect(202).json();
        assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(400), &json!(0)));
        assert_eq!(answer["errors"], json!([]));
        let receipts = answer["receipts"].as_array().unwrap();
        assert_eq!(receipts.len(), 3, "40 sensors are in every partition");
        assert_eq!(site.records().await - before, 3);
        let mut found: BTreeMap<i64, (i64, Vec<f64>)> = BTreeMap::new();
        for receipt in receipts {
            let (key, record) = site.record(receipt).await;
            let items = record.as_array().unwrap();
            assert_eq!(key, items[0]["sensor_id"].to_string(), "the key is the first one's sensor");
            for item in items {
                let partition = receipt["partition"].as_i64().unwrap();
                let sensor = found.entry(item["sensor_id"].as_i64().unwrap()).or_insert((partition, vec![]));
                assert_eq!(sensor.0, partition, "a sensor has one partition");
                sensor.1.push(item["value"].as_f64().unwrap());
            }
        }
        assert_eq!(found.len(), 40);
        for (sensor, (partition, values)) in found {
            let expected: Vec<f64> = (0..10).map(|n| (n * 40 + sensor - 1) as f64).collect();
            assert_eq!(values, expected, "in their order");
            let single =
                site.server.post(&format!("/sensor_data/{sensor}"), r#"{"value":1}"#).await.expect(200);
            assert_eq!(single.json()["receipt"]["partition"], partition, "where its readings always go");
        }
    }
}

#[tokio::test]
async fn the_good_ones_are_accepted_and_the_others_named() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    let lines = [
        r#"{"sensor_id":1,"value":1,"timestamp":"2024-10-12T14:29:00"}"#,
        "",
        r#"{"sensor_id":1,"value":"warm"}"#,
        r#"{"sensor_id":77,"value":1}"#,
        r#"{"sensor_id":1,"value":1,"timestamp":"9999-12-31T00:00:00Z"}"#,
        r#"{"sensor_id":1,"val"#,
        r#"{"value":1}"#,
        "7",
        r#"{"sensor_id":2,"value":"2.5","timestamp":1728743340000,"unit":"C"}"#,
    ];
    let expected = [
        (1, "invalid_value"),
        (2, "unknown_sensor"),
        (3, "time_out_of_window"),
        (4, "malformed_json"),
        (5, "wrong_shape"),
        (6, "wrong_shape"),
    ]
    .map(|(index, code)| (index, code.to_owned()));
    let answer = site.server.send("/readings", &NDJSON, lines.join("\r\n")).await.expect(207).json();
    assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(2), &json!(6)));
    assert_eq!(errors(&answer), expected);
    assert!(answer.get("detail").is_none() && answer.get("state").is_none());

    // In an array the same, whether they are JSON or not, as long as their brackets close.
    let mut whole: Vec<&str> = lines.iter().copied().filter(|line| !line.is_empty()).collect();
    whole[4] = r#"{"sensor_id":1,"val"}"#;
    let answer =
        site.server.send("/readings", &JSON, format!("[{}]", whole.join(" ,\n"))).await.expect(207).json();
    assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(2), &json!(6)));
    assert_eq!(errors(&answer), expected);
    let broken = [lines[0], lines[2], r#"{"sensor_id":1,"value":"#, lines[8]].join(",");
    let answer = site.server.send("/readings", &JSON, format!("[{broken}]")).await.expect(400).json();
    assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(1), &json!(1)));
    assert!(answer["detail"].as_str().unwrap().contains("at item 2"), "{answer}");
}

#[tokio::test]
async fn a_value_that_is_no_json_costs_itself_alone() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let item = |value: &str, second| {
        format!(r#"{{"sensor_id":1,"value":{value},"timestamp":{}}}"#, 1_728_743_340 + second)
    };
    for (value, code) in [
        ("NaN", "invalid_value"),
        ("-Infinity", "invalid_value"),
        (".5", "malformed_json"),
        ("01", "malformed_json"),
        ("1,5", "malformed_json"),
        ("N/A", "malformed_json"),
        ("'1'", "malformed_json"),
    ] {
        let items = [item("1", 0), item(value, 1), item("2", 2)];
        for (headers, body) in [
            (JSON, format!("[{}]", items.join(","))),
            (JSON, items.join("\n")),
            (NDJSON, items.join("\n")),
            (JSON, format!(r#"{{"sensor_id":1,"data":[{}]}}"#, items.join(","))),
        ] {
            let answer = site.server.send("/readings", &headers, body.clone()).await.expect(207).json();
            assert_eq!(
                (&answer["accepted"], errors(&answer)),
                (&json!(2), vec![(1, code.to_owned())]),
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn every_form_of_the_topic_is_taken() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    let (one, two) = (r#"{"sensor_id":1,"value":1}"#, r#"{"sensor_id":2,"value":2}"#);
    let list = r#"{"sensor_id":1,"data":[{"value":1},{"value":2}]}"#;
    let jsonlines = [("content-type", "application/jsonlines")];
    for (headers, body, accepted) in [
        (&JSON[..], one.to_owned(), 1),
        (&[], one.to_owned(), 1),
        (&JSON, format!("{one}\r\n{two}\r\n"), 2),
        (&JSON, format!("{one}{two}"), 2),
        (&JSON, list.to_owned(), 2),
        (&JSON, format!("\u{feff}[{one},{two}]"), 2),
        (&NDJSON, format!("\u{feff}{one}\n{two}"), 2),
        (&NDJSON, format!("{list}\n{one}{two}\n[{two}]"), 5),
        (&jsonlines, format!("{one}\n{two}\n"), 2),
    ] {
        let answer = site.server.send("/readings", headers, body.clone()).await.expect(202).json();
        assert_eq!(answer["accepted"], accepted, "{body}");
    }
}

#[tokio::test]
async fn the_list_of_errors_has_an_end_and_the_count_has_none() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let body = format!("{{\"sensor_id\":1,\"value\":1}}\n{}", "{}\n".repeat(1_000));
    let answer = site.server.send("/readings", &NDJSON, body).await.expect(207).json();
    assert_eq!(answer["failed"], 1_000);
    assert_eq!(errors(&answer).len(), 100);
}

#[tokio::test]
async fn where_nothing_is_accepted_nothing_is_sent() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let bad = r#"{"sensor_id":1,"value":true}"#;
    let send = async |headers: &[(&str, &str)], body: &str| {
        site.server.send("/readings", headers, body.to_owned()).await
    };
    for (body, loc, kind) in [
        (format!("[{bad}]"), json!(["body", 0]), "invalid_value"),
        ("[]".to_owned(), json!(["body"]), "too_short"),
        (bad.to_owned(), json!(["body", 0]), "invalid_value"),
        ("7".to_owned(), json!(["body"]), "list_type"),
        (r#"[{"sensor_id":9,"value":1}]"#.to_owned(), json!(["body", 0]), "unknown_sensor"),
    ] {
        let detail = send(&JSON, &body).await.expect(422).json()["detail"].clone();
        assert_eq!((&detail[0]["loc"], &detail[0]["type"]), (&loc, &json!(kind)), "{body}");
    }
    send(&NDJSON, "\n\n").await.expect(422);
    for body in ["", "[", "[1,", r#"[{"sensor_id":1,"#, "\u{feff}"] {
        send(&JSON, body).await.expect(400);
    }
    send(&[("content-type", "text/csv")], "1,2").await.expect(415);
    send(&[], "[]").await.expect(422);
    site.server.get("/readings").await.expect(405);
    assert_eq!(site.records().await, 0);
}

#[tokio::test]
async fn what_arrived_before_the_body_stalled_is_accepted() {
    let flags = ["--test-http-request-timeout", "800ms", "--test-publish-timeout", "400ms"];
    let site = Site::start_with(&flags).await;
    site.database.add_sensors(1).await;
    // The first request waits for the topic to be known; that is no part of this.
    site.server.send("/readings", &JSON, "[]").await.expect(422);
    let address = site.server.url.trim_start_matches("http://").to_owned();
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST /readings HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\nconnection: close\r\n\
                content-type: application/jsonl\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(b"{\"sensor_id\":1,\"value\":1}\n{\"sensor_id\":1,").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("it ends").unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["accepted"], &body["failed"]), (&json!(1), &json!(0)));
    assert!(body["detail"].as_str().unwrap().contains("after the first 1"), "{body}");
    assert_eq!(site.records().await, 1);
}

#[tokio::test]
async fn a_body_past_the_limit_is_413_with_what_came_before() {
    let site = Site::start_with(&["--http-max-body-bytes", "100000"]).await;
    site.database.add_sensors(3).await;
    let body = ndjson(&readings(10_000, 3));
    // A length that says so is refused before anything is read.
    let detail = site.server.send("/readings", &NDJSON, body.clone()).await.expect(413).json();
    assert!(detail.get("accepted").is_none());
    assert_eq!(site.records().await, 0);
    let address = site.server.url.trim_start_matches("http://").to_owned();
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST /readings HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\
                content-type: application/x-ndjson\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    for part in [&body[..90_000], &body[90_000..110_000]] {
        client.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("it ends").unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let accepted = answer["accepted"].as_u64().unwrap();
    assert!((1..2_000).contains(&accepted), "{answer}");
    assert!(!answer["receipts"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn where_a_request_belongs_goes_on_with_its_records() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", trace), ("tracestate", "a=b"), ("x-request-id", "request-7")];
    let one = site.server.send("/sensor_data/1", &headers, r#"{"value":1}"#).await.expect(200).json();
    let many =
        site.server.send("/readings", &headers, r#"[{"sensor_id":1,"value":1}]"#).await.expect(202).json();
    for receipt in [&one["receipt"], &many["receipts"][0]] {
        let record = site.whole_record(receipt).await;
        let found: Vec<(String, String)> = record
            .headers()
            .unwrap()
            .iter()
            .map(|header| (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap()))
            .collect();
        assert_eq!(found, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let no_trace = [("traceparent", "00-made-up-01"), ("x-request-id", "request-8")];
    let answer = site.server.send("/sensor_data/1", &no_trace, r#"{"value":1}"#).await.expect(200).json();
    let record = site.whole_record(&answer["receipt"]).await;
    let names: Vec<String> = record.headers().unwrap().iter().map(|header| header.key.to_owned()).collect();
    assert_eq!(names, ["x-request-id"]);
}

#[tokio::test]
async fn records_that_are_too_large_for_the_topic_are_split() {
    const READINGS: i64 = 5_000;
    let topic = TestTopic::name_only(1);
    let new = NewTopic::new(&topic.name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "12000");
    topic.admin().create_topics([&new], &AdminOptions::new()).await.unwrap();
    let site = Site::start_on(topic, &[]).await;
    site.database.add_sensors(1).await;
    let data: Vec<Value> =
        (0..READINGS).map(|n| json!({"value": n * 7_919 % 10_007, "timestamp": 1_728_743_340 + n})).collect();
    let answer =
        site.server.post("/sensor_data/1", json!({"data": data}).to_string()).await.expect(200).json();
    let receipts = answer["receipts"].as_array().unwrap();
    assert!(receipts.len() > 1, "{answer}");
    let mut times = Vec::new();
    for receipt in receipts {
        let (_, record) = site.record(receipt).await;
        times.extend(record["data"].as_array().unwrap().iter().map(|item| item["timestamp"].to_string()));
    }
    assert_eq!(times.len() as i64, READINGS);
    assert!(times.is_sorted(), "one after the other");
    let answer =
        site.server.send("/readings", &NDJSON, ndjson(&readings(READINGS, 1))).await.expect(202).json();
    assert_eq!(answer["accepted"], READINGS);
}

#[tokio::test]
async fn without_the_database_readings_of_known_sensors_are_accepted() {
    let topic = TestTopic::create(1).await;
    let nothing = testbed::config(&["--database-url", "postgres://nobody@127.0.0.1:1/nothing"]);
    let server = crate::site::Server::start(&nothing, &topic.config(), &[]).await;
    server.known_sensors.insert(1);
    let mut body = r#"[{"sensor_id":1,"value":1},{"sensor_id":2,"value":1}]"#;
    let answer = server.send("/readings", &JSON, body).await.expect(207).json();
    assert_eq!(errors(&answer), [(1, "database_unavailable".to_owned())]);
    body = r#"[{"sensor_id":2,"value":1}]"#;
    assert_eq!(server.send("/readings", &JSON, body).await.expect(503).header("retry-after"), "1");
    server.stopped().await;
}
