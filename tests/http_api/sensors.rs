use serde_json::{Value, json};

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

/// The ids on a page.
fn ids(page: &Value) -> Vec<i64> {
    page["sensors"].as_array().unwrap().iter().map(|sensor| sensor["sensor_id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn sensors_come_page_by_page() {
    let site = Site::start().await;
    site.database.add_sensors(7).await;
    let mut address = "/sensors?limit=3".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = site.server.get(&address).await.expect(200).json();
        pages.push(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        address = format!("/sensors?limit=3&after={next}");
        // What is deleted before the cursor or made behind it moves nothing.
        site.database.execute("DELETE FROM sensors WHERE sensor_id = 1").await;
    }
    assert_eq!(pages, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
    let exactly = site.server.get("/sensors?limit=6").await.expect(200).json();
    assert_eq!((ids(&exactly).len(), &exactly["next"]), (6, &Value::Null), "a full last page is the last");
    let empty = site.server.get("/sensors?type=none").await.expect(200).json();
    assert_eq!(empty, json!({"sensors": [], "next": null}));
}

#[tokio::test]
async fn filters_hold_together() {
    let site = Site::start().await;
    let sensors = json!({"sensors": [
        {"sensor_type": "temperature", "location": "North", "description": "Greenhouse 100%"},
        {"sensor_type": "humidity", "location": "North"},
        {"sensor_type": "temperature", "location": "South"},
        {"sensor_type": "temperature"},
    ]});
    let made = site.server.post("/sensors/bulk", sensors.to_string()).await.expect(201).json();
    assert_eq!(made, json!({"sensor_ids": [1, 2, 3, 4], "message": "Sensors created successfully."}));
    for (query, expected) in [
        ("", &[1, 2, 3, 4][..]),
        ("type=temperature", &[1, 3, 4]),
        ("location=North", &[1, 2]),
        ("type=temperature&location=North", &[1]),
        ("q=GREENhouse", &[1]),
        ("q=th", &[1, 2, 3]),
        ("q=0%25", &[1]),
        ("q=%25", &[1]),
        ("q=_", &[]),
        ("type=temperature&q=south", &[3]),
        ("location=", &[]),
    ] {
        let page = site.server.get(&format!("/sensors?{query}")).await.expect(200).json();
        assert_eq!(ids(&page), expected, "{query}");
    }
    let detail = site.server.get("/sensors?limit=0&after=x").await.expect(422).json()["detail"].clone();
    assert_eq!(detail[0]["loc"], json!(["query", "limit"]));
    assert_eq!(detail[1]["loc"], json!(["query", "after"]));
}

#[tokio::test]
async fn a_list_of_many_sensors_is_made_whole_or_not_at_all() {
    let site = Site::start().await;
    let many: Vec<Value> = (1..=1000).map(|n| json!({"sensor_type": format!("t{n}")})).collect();
    let made =
        site.server.post("/sensors/bulk", json!({"sensors": many}).to_string()).await.expect(201).json();
    let ids: Vec<i64> = serde_json::from_value(made["sensor_ids"].clone()).unwrap();
    assert_eq!(ids.len(), 1000);
    let in_order =
        "SELECT count(*) FROM sensors JOIN unnest($1::bigint[]) WITH ORDINALITY AS made (id, place)
        ON id = sensor_id AND sensor_type = 't' || place";
    let matching: i64 = sqlx::query_scalar(in_order).bind(&ids).fetch_one(&site.database.pool).await.unwrap();
    assert_eq!(matching, 1000);
    site.server.post(&format!("/sensor_data/{}", ids[999]), r#"{"value":1}"#).await.expect(200);

    let one_is_wrong = json!({"sensors": [{"sensor_type": "fine"}, {"sensor_type": 3}]});
    let detail =
        site.server.post("/sensors/bulk", one_is_wrong.to_string()).await.expect(422).json()["detail"]
            .clone();
    assert_eq!(detail[0]["loc"], json!(["body", "sensors", 1, "sensor_type"]));
    assert_eq!(site.database.number("SELECT count(*) FROM sensors").await, 1000);
}

#[tokio::test]
async fn a_sensor_is_shown_and_changed() {
    let site = Site::start().await;
    let body = r#"{"sensor_type":"temperature","description":"Roof","location":"North"}"#;
    site.server.post("/sensors", body).await.expect(200);
    let shown = site.server.get("/sensors/1").await.expect(200).json();
    assert_eq!(
        shown,
        json!({"sensor_id": 1, "sensor_type": "temperature", "description": "Roof", "location": "North"})
    );
    let changed =
        site.server.patch("/sensors/1", r#"{"description":null,"sensor_id":9}"#).await.expect(200).json();
    assert_eq!(
        changed,
        json!({"sensor_id": 1, "sensor_type": "temperature", "description": null, "location": "North"})
    );
    site.server.patch("/sensors/1", r#"{"sensor_type":"t","location":""}"#).await.expect(200);
    let stored = "SELECT count(*) FROM sensors WHERE (sensor_id, sensor_type, description, location)
        IS NOT DISTINCT FROM (1, 't', NULL, '')";
    assert_eq!(site.database.number(stored).await, 1);
    let unchanged = site.server.patch("/sensors/1", "{}").await.expect(200).json();
    assert_eq!(unchanged["sensor_type"], "t");

    for (path, body, status) in [
        ("/sensors/2", "{}", 404),
        ("/sensors/two", "{}", 422),
        ("/sensors/1", r#"{"sensor_type":null}"#, 422),
        ("/sensors/1", "[]", 422),
        ("/sensors/1", "{", 400),
    ] {
        site.server.patch(path, body).await.expect(status);
    }
    site.server.get("/sensors/2").await.expect(404);
    site.server.get("/sensors/2147483648").await.expect(422);
}

#[tokio::test]
async fn a_change_does_not_wait_for_writers_of_readings() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let held = site.database.hold("SELECT FROM sensors WHERE sensor_id = 1 FOR KEY SHARE").await;
    site.server.patch("/sensors/1", r#"{"location":"Cellar"}"#).await.expect(200);
    drop(held);
}
