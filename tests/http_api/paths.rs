//! Heads and paths of requests: what is the same to a client is the same here.

use serde_json::json;

use crate::{raw::Raw, site::Site};

#[tokio::test]
async fn a_slash_at_the_end_changes_nothing() {
    let site = Site::start().await;
    let made = site.server.post("/sensors/", r#"{"sensor_type":"t"}"#).await.expect(200).json();
    assert_eq!(made["message"], "Sensor created successfully.");
    let sensor_id = &made["sensor_id"];
    let reading = r#"{"value":23.5,"timestamp":"2024-10-12T14:29:00"}"#;
    let sent = site.server.post(&format!("/sensor_data/{sensor_id}/"), reading).await.expect(200).json();
    let stored = json!({"sensor_id": sensor_id, "value": 23.5, "timestamp": "2024-10-12T14:29:00Z"});
    assert_eq!(site.record(&sent["receipt"]).await.1, stored);
    site.server.get(&format!("/daily_avg/{sensor_id}/")).await.expect(404);
    assert_eq!(
        site.server.get("/sensors/?limit=1").await.expect(200).json()["sensors"][0]["sensor_id"],
        *sensor_id
    );
    for path in ["/healthz/", "/readyz/", "/openapi.json/"] {
        site.server.get(path).await.expect(200);
    }
    // Pages name their files relative to their own address.
    for page in ["/docs", "/redoc"] {
        assert_eq!(site.server.get(&format!("{page}/")).await.expect(308).header("location"), page);
    }
    assert_eq!(
        site.server.post("/sensors//", "{}").await.expect(404).json(),
        json!({"detail": "Not found."})
    );
}

#[tokio::test]
async fn a_slash_at_the_end_needs_the_same_key() {
    let site = Site::start().await;
    let keys = sensorpipe::store::keys::StoredKeys { were_made: true, keys: vec![] };
    site.server.keys.learn(keys);
    for path in ["/sensors/", "/sensor%73", "/dead-letters/", "/dead%2Dletters"] {
        site.server.get(path).await.expect(401);
    }
}

#[tokio::test]
async fn an_escape_that_stands_for_a_plain_character_is_that_character() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for path in ["/sensor%5Fdata/1", "/sensor%5fdata/%31", "/%73ensor_data/1/?x=%41"] {
        site.server.post(path, r#"{"value":1}"#).await.expect(200);
    }
    site.server.post("/sensor_data%2F1", r#"{"value":1}"#).await.expect(404);
    site.server.post("/sensor%255Fdata/1", r#"{"value":1}"#).await.expect(404);
}

#[tokio::test]
async fn http_1_1_needs_one_host() {
    let site = Site::start().await;
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET http://localhost/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
    ] {
        let mut client = Raw::connect(&site.server).await;
        client.send(head).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status, "{head}: {answer:?}");
    }
}

#[tokio::test]
async fn a_transfer_coding_that_nobody_undoes_is_refused() {
    let site = Site::start().await;
    for (codings, status) in [
        ("transfer-encoding: chunked", 422),
        ("Transfer-Encoding:  Chunked ", 422),
        ("transfer-encoding: gzip, chunked", 501),
        ("transfer-encoding: chunked, chunked", 501),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", 501),
        ("transfer-encoding: gzip", 400),
    ] {
        let mut client = Raw::connect(&site.server).await;
        let head = format!("POST /sensors HTTP/1.1\r\nhost: localhost\r\n{codings}\r\n\r\n");
        client.send(head + "2\r\n{}\r\n0\r\n\r\n").await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status, "{codings}: {answer:?}");
    }
}
