use serde_json::{Value, json};

use crate::site::Site;

#[tokio::test]
async fn a_reading_is_in_the_log_where_its_receipt_says() {
    let site = Site::start().await;
    site.database.add_sensors(3).await;
    let body = r#"{"value":23.5,"timestamp":"2024-10-12T14:29:00"}"#;
    let answer = site.server.post("/sensor_data/3", body).await.expect(200).json();
    assert_eq!(answer["message"], "Sensor data streamed successfully.");
    let expected = json!({"sensor_id": 3, "value": 23.5, "timestamp": "2024-10-12T14:29:00Z"});
    assert_eq!(site.record(&answer["receipt"]).await, ("3".to_owned(), expected));
    assert!(answer.get("receipts").is_none(), "one record, one receipt");
}

#[tokio::test]
async fn every_lax_form_is_taken() {
    const GUIDE: &str = "2024-10-12T14:29:00Z";
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for (fields, value, time) in [
        (r#""value":23.5,"timestamp":"2024-10-12T14:29:00""#, 23.5, GUIDE),
        (r#""value":"23.5","timestamp":"2024-10-12 14:29:00""#, 23.5, GUIDE),
        (r#""value":" 23.5 ","timestamp":"2024-10-12T14:29""#, 23.5, GUIDE),
        (r#""value":-1,"timestamp":"2024-10-12T14:29:00Z""#, -1.0, GUIDE),
        (r#""value":"1e3","timestamp":"2024-10-12T16:29:00+02:00""#, 1000.0, GUIDE),
        (r#""value":0,"timestamp":"2024-10-12 14:29:00.25+00:00""#, 0.0, "2024-10-12T14:29:00.250Z"),
        (r#""value":1,"timestamp":"2024-10-12T14:29:00.1234569""#, 1.0, "2024-10-12T14:29:00.123456Z"),
        (r#""value":1,"timestamp":1728743340"#, 1.0, GUIDE),
        (r#""value":1,"timestamp":1728743340.5"#, 1.0, "2024-10-12T14:29:00.500Z"),
        (r#""value":1,"timestamp":1728743340000"#, 1.0, GUIDE),
        (r#""value":1,"timestamp":"1728743340""#, 1.0, GUIDE),
        (r#""value":1,"timestamp":"1728743340000""#, 1.0, GUIDE),
        (r#""value":1,"timestamp":"\u0031728743340""#, 1.0, GUIDE),
        (r#""value":1,"timestamp":"2024-10-12","unit":{"name":["C"]}"#, 1.0, "2024-10-12T00:00:00Z"),
        (r#""value":0.1000000000000000055511151231257827,"timestamp":1728743340"#, 0.1, GUIDE),
    ] {
        let single = site.server.post("/sensor_data/1", format!("{{{fields}}}")).await.expect(200).json();
        let (_, record) = site.record(&single["receipt"]).await;
        assert_eq!(record, json!({"sensor_id": 1, "value": value, "timestamp": time}), "{fields}");

        let body = format!(r#"{{"data":[{{{fields}}},{{{fields}}}]}}"#);
        let batch = site.server.post("/sensor_data/1", body).await.expect(200).json();
        let (_, record) = site.record(&batch["receipt"]).await;
        let reading = json!({"value": value, "timestamp": time});
        assert_eq!(record, json!({"sensor_id": 1, "data": [reading, reading]}), "{fields}");
    }
}

#[tokio::test]
async fn without_a_timestamp_it_is_the_time_of_receipt() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let before = chrono::Utc::now();
    let answer = site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(200).json();
    let (_, record) = site.record(&answer["receipt"]).await;
    let time: chrono::DateTime<chrono::Utc> = record["timestamp"].as_str().unwrap().parse().unwrap();
    assert!((before..=chrono::Utc::now()).contains(&time), "{time}");
    // Two of a batch are two readings, not one and its duplicate.
    let answer =
        site.server.post("/sensor_data/1", r#"{"data":[{"value":1},{"value":2}]}"#).await.expect(200);
    let (_, record) = site.record(&answer.json()["receipt"]).await;
    assert_ne!(record["data"][0]["timestamp"], record["data"][1]["timestamp"]);
}

#[tokio::test]
async fn a_misspelt_timestamp_is_refused_by_its_name() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for name in ["time", "ts", "Timestamp", "@timestamp", "created_at"] {
        let fields = format!(r#""value":1,"{name}":"2024-10-12T14:29:00""#);
        let body = format!(r#"{{"data":[{{"value":1}},{{{fields}}}]}}"#);
        for (path, body, loc) in [
            ("/sensor_data/1", format!("{{{fields}}}"), json!(["body", "timestamp"])),
            ("/sensor_data/1", body, json!(["body", "data", 1, "timestamp"])),
            ("/readings", format!(r#"[{{"sensor_id":1,{fields}}}]"#), json!(["body", 0])),
            ("/readings", format!(r#"{{"sensor_id":1,{fields}}}"#), json!(["body", 0])),
        ] {
            let fault = site.server.post(path, body.clone()).await.expect(422).json()["detail"][0].clone();
            assert_eq!(fault["loc"], loc, "{body}");
            let message = fault["msg"].as_str().unwrap();
            assert!(message.contains(&format!("`{name}`")) && message.contains("`timestamp`"), "{message}");
        }
    }
    assert_eq!(site.records().await, 0);
}

#[tokio::test]
async fn what_the_old_app_took_is_taken() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let empty = site.server.post("/sensor_data/1", r#"{"data":[]}"#).await.expect(200).json();
    assert_eq!(empty, json!({"message": "Sensor data streamed successfully."}));
    assert_eq!(site.records().await, 0);
    for (body, value, time) in [
        ("\u{feff}{\"value\":1,\"timestamp\":1728743340}", 1.0, "2024-10-12T14:29:00Z"),
        (r#"{"value":true,"timestamp":1728743340}"#, 1.0, "2024-10-12T14:29:00Z"),
        (r#"{"value":2,"timestamp":1728743340,"data":"x"}"#, 2.0, "2024-10-12T14:29:00Z"),
        (r#"{"value":2,"timestamp":1690475910.7019637}"#, 2.0, "2023-07-27T16:38:30.701964Z"),
    ] {
        let answer = site.server.post("/sensor_data/1", body).await.expect(200).json();
        let (_, record) = site.record(&answer["receipt"]).await;
        assert_eq!(record, json!({"sensor_id": 1, "value": value, "timestamp": time}), "{body}");
    }
    site.server.post("/sensors", "\u{feff}{\"sensor_type\":\"t\"}").await.expect(200);
}

#[tokio::test]
async fn of_a_batch_the_item_that_is_no_json_is_named() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let body = |value: &str| format!(r#"{{"data":[{{"value":1}},{{"value":2}},{{"value":{value}}}]}}"#);
    let answer = site.server.post("/sensor_data/1", body("N/A")).await.expect(400).json();
    assert!(answer["detail"].as_str().unwrap().contains("in item 2 of `data`"), "{answer}");
    let fault = site.server.post("/sensor_data/1", body("NaN")).await.expect(422).json()["detail"][0].clone();
    assert_eq!(fault["loc"], json!(["body", "data", 2, "value"]));
    assert_eq!(fault["type"], "finite_number");
    assert_eq!(site.records().await, 0);
}

#[tokio::test]
async fn the_content_type_may_be_absent_or_a_kin_of_json() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for content_type in [None, Some("application/json; charset=utf-8"), Some("application/vnd.sensor+json")] {
        site.server.post_as(content_type, "/sensor_data/1", r#"{"value":1}"#).await.expect(200);
    }
}

#[tokio::test]
async fn a_batch_past_the_record_size_is_split_and_stays_in_order() {
    const READINGS: i64 = 50_000;
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let data: Vec<Value> =
        (0..READINGS).map(|n| json!({"value": n, "timestamp": 1_728_743_340 + n})).collect();
    let answer =
        site.server.post("/sensor_data/1", json!({"data": data}).to_string()).await.expect(200).json();
    let receipts = answer["receipts"].as_array().unwrap();
    assert!(receipts.len() > 1, "{answer}");
    assert_eq!(receipts.last(), Some(&answer["receipt"]));
    let mut values = Vec::new();
    for (index, receipt) in receipts.iter().enumerate() {
        assert_eq!(receipt["partition"], receipts[0]["partition"]);
        assert_eq!(receipt["offset"], json!(index));
        let (key, record) = site.record(receipt).await;
        assert_eq!(key, "1");
        values.extend(
            record["data"].as_array().unwrap().iter().map(|reading| reading["value"].as_f64().unwrap()),
        );
    }
    assert_eq!(values, (0..READINGS).map(|n| n as f64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sensor_made_elsewhere_is_found() {
    let site = Site::start().await;
    site.server.post("/sensor_data/1", r#"{"value":1}"#).await.expect(404);
    site.database.add_sensors(1).await;
    let found = async || site.server.post("/sensor_data/1", r#"{"value":1}"#).await.status == 200;
    testbed::eventually(std::time::Duration::from_secs(1), found).await;
}
