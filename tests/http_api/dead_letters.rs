//! Dead letters looked at and discarded over HTTP.

use reqwest::{Method, RequestBuilder};
use sensorpipe::{
    access::{Scope, Token},
    store::keys::{StoredKey, StoredKeys},
};
use serde_json::{Value, json};
use testbed::{Record, config};

use crate::{
    letters::{by_reason, fates, reading},
    site::{Server, Site},
};

const HOSTILE: &[u8] = b"{\"sensor_id\":1,\"value\":\"\x1b]0;gone\x07\"";

fn ids(page: &Value) -> Vec<i64> {
    page["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn letters_are_listed_page_by_page_and_shown_whole() {
    let records = vec![
        Record::new(HOSTILE).key("1").header("traceparent", "00-ab").header("raw", [0_u8, 255]),
        Record::new(b"\xff\xfe".as_slice()).key([255_u8]).timestamp_ms(1_728_743_340_000),
        Record::new(format!("[{},{}]", reading(77, 1), reading(78, 2))).key("77"),
        Record::without_value(),
    ];
    let site = Site::with_records(1, records).await;
    let server = &site.server;
    let list = async |query: &str| server.get(&format!("/dead-letters{query}")).await.expect(200).json();
    let newest_first: Vec<i64> = site.letter_ids().await.into_iter().rev().collect();
    let all = list("").await;
    assert_eq!((ids(&all), &all["next"]), (newest_first.clone(), &Value::Null));
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = list(&query).await;
        paged.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&after={next}");
    }
    assert_eq!(paged, newest_first);

    for (query, count) in [
        ("?reason=unknown_sensor", 2),
        ("?sensor_id=77", 2),
        ("?sensor_id=1&reason=malformed_json", 1),
        ("?partition=0&since=2024-01-01", 5),
        ("?partition=1", 0),
        ("?until=2024-01-01", 0),
        ("?topic=another", 0),
        (&format!("?topic={}", site.topic.name), 5),
    ] {
        assert_eq!(ids(&list(query).await).len(), count, "{query}");
    }
    let refused =
        server.get("/dead-letters?reason=x&partition=-1&limit=0&after=7&topic=%00").await.expect(422);
    assert_eq!(refused.json()["detail"].as_array().unwrap().len(), 5);

    let show = async |offset: i64, item: Value| {
        let is_meant = |letter: &&Value| letter["offset"] == offset && letter["item"] == item;
        let listed = all["letters"].as_array().unwrap().iter().find(is_meant).unwrap();
        server.get(&format!("/dead-letters/{}", listed["id"])).await.expect(200).json()
    };
    let hostile = show(0, Value::Null).await;
    assert_eq!(hostile["payload"], json!({"text": std::str::from_utf8(HOSTILE).unwrap()}));
    let headers = json!([{"key": "traceparent", "value": "00-ab"}, {"key": "raw", "base64": "AP8="}]);
    assert_eq!((&hostile["headers"], &hostile["key"]), (&headers, &json!({"text": "1"})));
    assert_eq!(hostile["replayable"], false);
    assert_eq!(hostile["topic_id"], json!(site.topic.id().await));
    let bytes = show(1, Value::Null).await;
    assert_eq!((&bytes["payload"], &bytes["key"]), (&json!({"base64": "//4="}), &json!({"base64": "/w=="})));
    assert_eq!(bytes["record_time"], "2024-10-12T14:29:00Z");
    let item = show(2, json!(1)).await;
    assert_eq!(item["replayable"], true);
    assert_eq!(item["payload"], json!({"text": reading(78, 2)}));
    assert_eq!(show(3, Value::Null).await["payload"], Value::Null);
    server.get("/dead-letters/999999").await.expect(404);
    server.get("/dead-letters/0").await.expect(422);

    let summary = server.get("/dead-letters/summary").await.expect(200).json();
    assert_eq!((&summary["letters"], summary["reasons"].as_array().unwrap().len()), (&json!(5), 3));
    assert_eq!(
        (&summary["oldest"], &summary["newest"]),
        (&hostile["received_at"], &all["letters"][0]["received_at"])
    );
}

#[tokio::test]
async fn discarded_letters_are_gone_and_counted() {
    let records = (0..6).map(|n| Record::new(reading(77, n))).chain([Record::new("x")]).collect();
    let site = Site::with_records(1, records).await;
    let other = site.database.number("SELECT id FROM dead_letters WHERE reason = 'malformed_json'").await;
    let ids: Vec<i64> = site.letter_ids().await.into_iter().filter(|&id| id != other).collect();
    let discard = async |body: Value| site.server.post("/dead-letters/discard", body.to_string()).await;
    let one = format!("/dead-letters/{}", ids[0]);
    assert_eq!(site.server.delete(&one).await.expect(200).json()["discarded"], 1);
    site.server.delete(&one).await.expect(404);
    let some = discard(json!({"ids": [ids[1], ids[0], ids[1]]})).await.expect(200).json();
    assert_eq!(some, json!({"discarded": 1, "missing": [ids[0]], "next": null}));
    // A filter that is misspelt must not mean all of them.
    discard(json!({"filter": {"resaon": "unknown_sensor"}})).await.expect(422);
    discard(json!({})).await.expect(422);
    let mut body = by_reason("unknown_sensor");
    body["limit"] = json!(3);
    let first = discard(body.clone()).await.expect(200).json();
    assert_eq!(first["discarded"], 3);
    body["after"] = first["next"].clone();
    assert_eq!(discard(body).await.expect(200).json(), json!({"discarded": 1, "missing": [], "next": null}));
    assert_eq!((site.letter_ids().await, site.removed("discarded").await), (vec![other], 6));
    // What came of a dead letter is not what comes of its record.
    assert_eq!(site.database.tally().await.dead_lettered, 7);
}

#[tokio::test]
async fn a_receipt_does_not_count_letters_of_another_topic_of_its_name() {
    let site = Site::with_records(1, vec![Record::new(reading(77, 1))]).await;
    let count = async || site.server.get("/receipts/0/0").await.expect(200).json()["dead_lettered"].clone();
    assert_eq!(count().await, 1);
    site.database.execute("UPDATE dead_letters SET topic_id = 'another'").await;
    assert_eq!(count().await, 0);
    site.database.execute("UPDATE dead_letters SET topic_id = NULL").await;
    assert_eq!(count().await, 1, "a letter of an earlier version counts as before");
    site.database.add_sensors(77).await;
    assert_eq!(fates(&site.replay(json!({"filter": {}})).await), [1, 0, 0]);
    let sql = "SELECT letters FROM dead_letter_removals WHERE topic_id = '' AND outcome = 'replayed'";
    assert_eq!((count().await, site.database.number(sql).await), (json!(0), 1));
}

#[tokio::test]
async fn letters_are_for_admins_whose_database_role_may() {
    let site = Site::with_records(1, vec![Record::new(reading(77, 1))]).await;
    let id = site.letter_ids().await[0];
    let operations = [
        (Method::GET, "/dead-letters".to_owned()),
        (Method::GET, "/dead-letters/summary".to_owned()),
        (Method::GET, format!("/dead-letters/{id}")),
        (Method::POST, format!("/dead-letters/{id}/replay")),
        (Method::POST, "/dead-letters/replay".to_owned()),
        (Method::POST, "/dead-letters/discard".to_owned()),
        (Method::DELETE, format!("/dead-letters/{id}")),
    ];
    let body =
        |request: RequestBuilder| request.header("content-type", "application/json").body(r#"{"filter":{}}"#);
    // A role that only adds to the table.
    let url = site.database.url_of_role_that_only_writes().await;
    let narrow = Server::start(&config(&["--database-url", &url]), &site.topic.config(), &[]).await;
    for (method, path) in operations.clone() {
        let answer = narrow.request(method, &path, body).await.expect(409).json();
        assert!(answer["detail"].as_str().unwrap().contains("sensorpipe dead-letters"), "{path}: {answer}");
    }

    let token = Token::generate().unwrap();
    let (token_id, token_hash) = token.parts();
    let scopes = [Scope::Ingest, Scope::Read].into_iter().collect();
    let name = "reader".to_owned();
    let key = StoredKey { name, token_id, token_hash, scopes, requests_per_second: None };
    site.server.keys.learn(StoredKeys { were_made: true, keys: vec![key] });
    for (method, path) in operations {
        site.server.request(method.clone(), &path, body).await.expect(401);
        let with_key = |request: RequestBuilder| body(request).bearer_auth(token.expose());
        site.server.request(method, &path, with_key).await.expect(403);
    }
    assert_eq!(site.letter_ids().await, [id]);
}
