use serde_json::json;

use crate::site::Site;

#[tokio::test]
async fn a_sensor_is_made_and_known_at_once() {
    let site = Site::start().await;
    let body =
        r#"{"sensor_type":"temperature","description":"Outdoor temperature sensor","location":"Backyard"}"#;
    let answer = site.server.post("/sensors", body).await.expect(200);
    assert_eq!(answer.json(), json!({"sensor_id": 1, "message": "Sensor created successfully."}));
    site.server.post("/sensors", r#"{"sensor_type":"humidity"}"#).await.expect(200);
    let stored = "SELECT count(*) FROM sensors WHERE (sensor_id, sensor_type, description, location)
        IS NOT DISTINCT FROM (1, 'temperature', 'Outdoor temperature sensor', 'Backyard')
        OR (sensor_id = 2 AND sensor_type = 'humidity' AND description IS NULL AND location IS NULL)";
    assert_eq!(site.database.number(stored).await, 2);
    site.server.post("/sensor_data/2", r#"{"value":1}"#).await.expect(200);
}

#[tokio::test]
async fn text_is_stored_as_it_was_sent() {
    let site = Site::start().await;
    let hostile = "'; DROP TABLE sensors; -- \"€\u{1f321}";
    site.server
        .post("/sensors", json!({"sensor_type": hostile, "location": ""}).to_string())
        .await
        .expect(200);
    let stored: (String, String) = sqlx::query_as("SELECT sensor_type, location FROM sensors")
        .fetch_one(&site.database.pool)
        .await
        .unwrap();
    assert_eq!(stored, (hostile.to_owned(), String::new()));
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let site = Site::start().await;
    for (body, loc, kind) in [
        (json!({}), "sensor_type", "missing"),
        (json!({"sensor_type": null}), "sensor_type", "string_type"),
        (json!({"sensor_type": ""}), "sensor_type", "string_too_short"),
        (json!({"sensor_type": "x".repeat(51)}), "sensor_type", "string_too_long"),
        (json!({"sensor_type": "x\u{0}y"}), "sensor_type", "string_nul"),
        (json!({"sensor_type": "t", "description": "x".repeat(256)}), "description", "string_too_long"),
        (json!({"sensor_type": "t", "location": 3}), "location", "string_type"),
    ] {
        let detail =
            site.server.post("/sensors", body.to_string()).await.expect(422).json()["detail"].clone();
        assert_eq!(detail[0]["loc"], json!(["body", loc]), "{body}");
        assert_eq!(detail[0]["type"], kind, "{body}");
    }
    assert_eq!(site.database.number("SELECT count(*) FROM sensors").await, 0);
}
