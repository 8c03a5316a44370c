use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::site::{PATIENCE, Site};

#[tokio::test]
async fn an_unknown_sensor_is_404() {
    let site = Site::start().await;
    let answer = site.server.post("/sensor_data/99", r#"{"value":1}"#).await.expect(404);
    assert_eq!(answer.json(), json!({"detail": "Sensor not found."}));
    let answer = site.server.get("/daily_avg/99").await.expect(404);
    assert_eq!(answer.json(), json!({"detail": "No data found for this sensor."}));
    assert_eq!(site.records().await, 0);
}

#[tokio::test]
async fn every_fault_of_a_batch_is_named_and_nothing_is_taken() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let body = r#"{"data":[
        {"value":1},
        {"value":"warm"},
        {"timestamp":"2024-10-12T14:29:00"},
        {"value":"NaN","timestamp":"yesterday"},
        {"value":1,"timestamp":"9999-12-31T00:00:00Z"},
        {"value":1,"timestamp":"1999-12-31T23:59:59Z"},
        "reading"]}"#;
    let detail = site.server.post("/sensor_data/1", body).await.expect(422).json()["detail"].clone();
    let faults: Vec<(Value, &str)> = detail
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| {
            assert!(!fault["msg"].as_str().unwrap().is_empty());
            (fault["loc"].clone(), fault["type"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        faults,
        [
            (json!(["body", "data", 1, "value"]), "float_parsing"),
            (json!(["body", "data", 2, "value"]), "missing"),
            (json!(["body", "data", 3, "value"]), "finite_number"),
            (json!(["body", "data", 3, "timestamp"]), "datetime_parsing"),
            (json!(["body", "data", 4, "timestamp"]), "time_out_of_window"),
            (json!(["body", "data", 5, "timestamp"]), "time_out_of_window"),
            (json!(["body", "data", 6]), "model_attributes_type"),
        ]
    );
    assert_eq!(site.records().await, 0);
}

#[tokio::test]
async fn faults_of_the_path_and_the_body_are_said_together() {
    let site = Site::start().await;
    let detail = site.server.post("/sensor_data/one", "{}").await.expect(422).json()["detail"].clone();
    assert_eq!(detail[0]["loc"], json!(["path", "sensor_id"]));
    assert_eq!(detail[1]["loc"], json!(["body", "value"]));
    let detail = site.server.get("/daily_avg/2147483648").await.expect(422).json()["detail"].clone();
    assert_eq!(detail[0]["loc"], json!(["path", "sensor_id"]));
    // A list of faults has an end.
    let body = format!(r#"{{"data":[{}{{}}]}}"#, "{},".repeat(999));
    let detail = site.server.post("/sensor_data/1", body).await.expect(422).json()["detail"].clone();
    assert_eq!(detail.as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn every_refusal_is_json_with_its_status() {
    let site = Site::start_with(&["--http-max-body-bytes", "1000"]).await;
    site.database.add_sensors(1).await;
    let server = &site.server;
    for body in ["", "{", r#"{"value":.5}"#, "value=1", "\u{feff}", r#"{"value":1}{}"#] {
        server.post("/sensor_data/1", body).await.expect(400);
        server.post("/sensors", body).await.expect(400);
    }
    server.post("/sensor_data/1", &b"{\"value\":1,\"unit\":\"\xff\"}"[..]).await.expect(400);
    for body in [
        "[]",
        "3",
        "null",
        r#"{"data":3}"#,
        r#"{"value":1,"data":[{"value":1}]}"#,
        r#"{"value":NaN}"#,
        r#"{"value":1,"timestamp":null}"#,
        r#"{"value":1,"time":"2024-10-12T14:29:00"}"#,
        r#"{"value":1,"sensor_id":2}"#,
    ] {
        server.post("/sensor_data/1", body).await.expect(422);
    }
    for utf_16 in ["{\"value\":1}", "\u{feff}{\"value\":1}"] {
        let body: Vec<u8> = utf_16.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for path in ["/sensor_data/1", "/readings", "/sensors"] {
            let detail = server.post(path, body.clone()).await.expect(400).json()["detail"].clone();
            assert!(detail.as_str().unwrap().contains("UTF-16"), "{detail}");
        }
    }
    let large = format!(r#"{{"value":1,"padding":"{}"}}"#, "x".repeat(1000));
    for answer in [
        server.get("/nowhere").await.expect(404),
        server.delete("/sensors").await.expect(405),
        server.get("/sensor_data/1").await.expect(405),
        server.post("/sensor_data/1", large.clone()).await.expect(413),
        server.post("/sensors", large).await.expect(413),
        server.post_as(Some("text/plain"), "/sensor_data/1", r#"{"value":1}"#).await.expect(415),
        server.post_as(Some("application/x-www-form-urlencoded"), "/sensors", "a=b").await.expect(415),
    ] {
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(server.delete("/sensor_data/1").await.header("allow"), "POST");
    assert_eq!(site.records().await, 0);
}

#[tokio::test]
async fn a_body_of_unknown_length_has_its_bound_too() {
    let site = Site::start_with(&["--http-max-body-bytes", "1000"]).await;
    let address = site.server.url.trim_start_matches("http://").to_owned();
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST /sensor_data/1 HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(format!("7d0\r\n{}\r\n", "x".repeat(2000)).as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_client_that_never_sends_its_body_is_timed_out() {
    let site =
        Site::start_with(&["--test-http-request-timeout", "400ms", "--test-publish-timeout", "200ms"]).await;
    let address = site.server.url.trim_start_matches("http://").to_owned();
    let started = Instant::now();
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST /sensor_data/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await;
    read.expect("the connection is closed").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    assert!(started.elapsed().as_secs() < 5);
}
