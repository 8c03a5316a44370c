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
async fn a_sensor_needs_its_type_only_and_columns_have_their_widths() {
    let site = Site::start().await;
    for body in [
        json!({"sensor_type": "ü".repeat(50), "description": null, "more": 1}),
        json!({"sensor_type": "t", "description": "", "location": "x".repeat(255)}),
    ] {
        let sensor_id =
            site.server.post("/sensors", body.to_string()).await.expect(200).json()["sensor_id"].clone();
        let shown = site.server.get(&format!("/sensors/{sensor_id}")).await.expect(200).json();
        for field in ["sensor_type", "description", "location"] {
            assert_eq!(shown[field], body[field], "{field}");
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let site = Site::start().await;
    let long = |chars| "x".repeat(chars);
    for (body, errors) in [
        (json!([]), json!([[["body"], "model_attributes_type"]])),
        (json!({}), json!([[["body", "sensor_type"], "missing"]])),
        (json!({"sensor_type": null}), json!([[["body", "sensor_type"], "string_type"]])),
        (json!({"sensor_type": 1}), json!([[["body", "sensor_type"], "string_type"]])),
        (json!({"sensor_type": ""}), json!([[["body", "sensor_type"], "string_too_short"]])),
        (json!({"sensor_type": long(51)}), json!([[["body", "sensor_type"], "string_too_long"]])),
        (json!({"sensor_type": "x\u{0}y"}), json!([[["body", "sensor_type"], "string_nul"]])),
        (
            json!({"description": 1, "location": long(256)}),
            json!([
                [["body", "description"], "string_type"],
                [["body", "location"], "string_too_long"],
                [["body", "sensor_type"], "missing"],
            ]),
        ),
    ] {
        let answer = site.server.post("/sensors", body.to_string()).await.expect(422);
        assert_eq!(named(&answer.json()), errors, "{body}");
    }
    let sensors = |sensors: Value| json!({ "sensors": sensors });
    let one_too_many = vec![json!({"sensor_type": "a"}); 1_001];
    for (body, errors) in [
        (json!({}), json!([[["body", "sensors"], "missing"]])),
        (sensors(json!({})), json!([[["body", "sensors"], "list_type"]])),
        (sensors(json!([])), json!([[["body", "sensors"], "too_short"]])),
        (sensors(json!(one_too_many)), json!([[["body", "sensors"], "too_long"]])),
        (
            sensors(json!([{"sensor_type": "a"}, {}, 3, {"sensor_type": ""}])),
            json!([
                [["body", "sensors", 1, "sensor_type"], "missing"],
                [["body", "sensors", 2], "model_attributes_type"],
                [["body", "sensors", 3, "sensor_type"], "string_too_short"],
            ]),
        ),
    ] {
        let answer = site.server.post("/sensors/bulk", body.to_string()).await.expect(422);
        assert_eq!(named(&answer.json()), errors, "{errors}");
    }
    assert_eq!(site.database.number("SELECT count(*) FROM sensors").await, 0);
}

/// Each error of an answer: where, and of which kind.
fn named(answer: &Value) -> Value {
    let errors = answer["detail"].as_array().unwrap();
    errors.iter().map(|error| json!([error["loc"], error["type"]])).collect()
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
    site.server
        .post("/sensors", json!({"sensor_type": "warm & wet", "location": "ü"}).to_string())
        .await
        .expect(200);
    let query = "type=warm+%26%20wet&location=%C3%BC&q=&limit=1000&after=AAAAAw&other=1";
    let page = site.server.get(&format!("/sensors?{query}")).await.expect(200).json();
    assert_eq!(ids(&page), [5]);
    let query = format!("type={}&q=%00&limit=0&after=3", "x".repeat(51));
    let answer = site.server.get(&format!("/sensors?{query}")).await.expect(422);
    let errors = json!([
        [["query", "type"], "string_too_long"],
        [["query", "q"], "string_nul"],
        [["query", "limit"], "int_parsing"],
        [["query", "after"], "cursor"],
    ]);
    assert_eq!(named(&answer.json()), errors);
    for limit in ["1001", "-1", "ten", "1.0", ""] {
        site.server.get(&format!("/sensors?limit={limit}")).await.expect(422);
    }
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
        ("/sensors/1", "[]", 422),
        ("/sensors/1", "{", 400),
    ] {
        site.server.patch(path, body).await.expect(status);
    }
    for (body, field, kind) in [
        (json!({"sensor_type": null}), "sensor_type", "string_type"),
        (json!({"sensor_type": ""}), "sensor_type", "string_too_short"),
        (json!({"description": 1}), "description", "string_type"),
        (json!({"location": "x".repeat(256)}), "location", "string_too_long"),
    ] {
        let answer = site.server.patch("/sensors/1", body.to_string()).await.expect(422);
        assert_eq!(named(&answer.json()), json!([[["body", field], kind]]), "{body}");
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
