//! More dead letters than are kept: where the api and the command say that they are.

use serde_json::{Value, json};
use testbed::{Record, TestTopic, eventually, free_address};

use crate::{
    letters::{command, reading, worker},
    site::{PATIENCE, Site},
};

#[tokio::test]
async fn letters_beyond_the_bound_are_told_of_everywhere() {
    let site = Site::start_on(TestTopic::create(1).await, &[]).await;
    site.database.add_sensors(1).await;
    let produce = async |readings: std::ops::Range<i64>| {
        let records = readings.map(|n| Record::new(reading(77, n)));
        site.topic.produce(records.collect::<Vec<_>>()).await;
        site.database.stores_all_of(&site.topic, PATIENCE).await;
    };
    let address = free_address().to_string();
    let bounded = worker(&site.database, &site.topic)
        .env("DEAD_LETTER_MAX", "10")
        .env("METRICS_ADDR", &address)
        .start();
    produce(0..10).await;
    assert_eq!(site.letter_ids().await.len(), 10);
    let summary = async || site.server.get("/dead-letters/summary").await.expect(200).json();
    assert_eq!(summary().await["not_kept"], json!([]));

    produce(10..30).await;
    assert_eq!(site.letter_ids().await.len(), 10, "no further one");
    let told = summary().await;
    let range = |field: &str| &told["not_kept"][0][field];
    assert_eq!(
        [range("topic"), range("topic_id"), range("reason")],
        [&json!(site.topic.name), &json!(site.topic.id().await), &json!("unknown_sensor")]
    );
    assert_eq!(
        [range("partition"), range("first_offset"), range("last_offset"), range("letters")],
        [&json!(0), &json!(10), &json!(29), &json!(20)]
    );
    assert_eq!(told["letters"], 10);
    let receipt = site.server.get("/receipts/0/20").await.expect(200).json();
    assert_eq!(
        (&receipt["dead_lettered"], &receipt["maybe_not_kept"]),
        (&json!(0), &json!(["unknown_sensor"]))
    );
    let receipt = site.server.get("/receipts/0/5").await.expect(200).json();
    assert_eq!((&receipt["dead_lettered"], &receipt["maybe_not_kept"]), (&json!(1), &Value::Null));
    let overview = async || site.server.get("/overview").await.expect(200).json();
    eventually(PATIENCE, async || overview().await["dead_letters"]["not_kept"] == 20).await;

    let (_, listed, _) = command(&site.database, &["list"]).await;
    assert!(listed.contains("20 readings came beyond DEAD_LETTER_MAX"), "{listed}");
    let (is_done, shown, log) = command(&site.database, &["not-kept", "--format", "json"]).await;
    assert!(is_done, "{log}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["not_kept"][0]["first_offset"], &shown["not_kept"][0]["letters"]),
        (&json!(10), &json!(20))
    );
    let (_, table, _) = command(&site.database, &["not-kept"]).await;
    assert!(table.contains("unknown_sensor") && table.contains("29"), "{table}");

    assert_eq!(bounded.stderr().matches("further ones are counted, not kept").count(), 1, "said once");
    let metrics =
        async || reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let has = async |line: &str| metrics().await.lines().any(|told| told == line);
    assert!(has(r#"sensorpipe_dead_letters_not_kept_total{reason="unknown_sensor"} 20"#).await);
    assert!(has(r#"sensorpipe_dead_letters_total{reason="unknown_sensor"} 30"#).await);
    eventually(PATIENCE, async || has("sensorpipe_dead_letter_bound_ratio 1").await).await;

    // There is room again.
    site.server.post("/dead-letters/discard", json!({"filter": {}}).to_string()).await.expect(200);
    produce(30..33).await;
    assert_eq!(site.letter_ids().await.len(), 3);
    eventually(PATIENCE, async || bounded.stderr().contains("dead letters are kept again")).await;
}

#[tokio::test]
async fn bytes_are_bounded_too_and_known_whoever_deletes() {
    let site = Site::start_on(TestTopic::create(1).await, &[]).await;
    let _worker =
        worker(&site.database, &site.topic).env("SENSORPIPE_TEST_DEAD_LETTER_MAX_BYTES", "100000").start();
    let produce = async |count: usize| {
        let large = format!("no JSON {}", "x".repeat(40_000));
        site.topic.produce(vec![Record::new(large); count]).await;
        site.database.stores_all_of(&site.topic, PATIENCE).await;
    };
    for _ in 0..5 {
        produce(1).await;
    }
    assert_eq!(site.letter_ids().await.len(), 3, "the third one passes the bound");
    let used =
        "SELECT sum(CASE direction WHEN 'written' THEN bytes ELSE -bytes END)::bigint FROM dead_letter_usage";
    assert_eq!(site.database.number(used).await, 3 * (500 + 40_008));
    site.database.execute("DELETE FROM dead_letters WHERE id = (SELECT min(id) FROM dead_letters)").await;
    assert_eq!(site.database.number(used).await, 2 * (500 + 40_008));
    produce(1).await;
    assert_eq!(site.letter_ids().await.len(), 3);
    site.database.execute("TRUNCATE dead_letters").await;
    produce(1).await;
    assert_eq!(site.database.number(used).await, 500 + 40_008);
}
