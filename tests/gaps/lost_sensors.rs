//! Sensors that the database loses, as by a failover to a standby that was behind: their ids are not given out again, they
//! come back by themselves, and their readings are theirs.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use reqwest::StatusCode;
use serde_json::{Value, json};
use testbed::{Role, Sensorpipe, TestDatabase, TestTopic, comes_to, eventually, free_address};

use crate::{PATIENCE, Site};

/// An api on a site.
struct Api {
    process: Sensorpipe,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Api {
    async fn start(database: &TestDatabase, topic: &TestTopic) -> Self {
        let address = free_address();
        let process = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["api"])
            .database(database)
            .topic(topic)
            .env("HTTP_ADDR", &address.to_string())
            .start();
        let api = Self { process, address, client: reqwest::Client::new() };
        eventually(PATIENCE, async || api.get("/readyz").await.is_some_and(|ready| ready["ready"] == true))
            .await;
        api
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("http://{}{path}", self.address)).send().await.ok()?;
        answer.json().await.ok()
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.client.post(format!("http://{}{path}", self.address)).json(body);
        let answer = request.send().await.expect("the api answers");
        (answer.status(), answer.json().await.expect("it is JSON"))
    }

    /// Makes a sensor, again where that has to be; its id.
    async fn make(&self, description: &str) -> i64 {
        let made = json!({"sensor_type": "test", "description": description});
        let mut answer = Value::Null;
        eventually(PATIENCE, async || {
            let (status, body) = self.post("/sensors", &made).await;
            answer = body;
            status.is_success()
        })
        .await;
        answer["sensor_id"].as_i64().expect("an id")
    }

    /// Sends a reading, again where that has to be.
    async fn send(&self, sensor_id: i64, value: i64) {
        let reading = json!({"value": value, "timestamp": 1_704_067_200 + value});
        eventually(PATIENCE, async || {
            self.post(&format!("/sensor_data/{sensor_id}"), &reading).await.0.is_success()
        })
        .await;
    }
}

async fn described(database: &TestDatabase) -> BTreeMap<i32, String> {
    sqlx::query_as("SELECT sensor_id, description FROM sensors WHERE description IS NOT NULL")
        .fetch_all(&database.pool)
        .await
        .expect("sensors are listed")
        .into_iter()
        .collect()
}

/// What a failover does that loses everything above a sensor: rows, sequence, offsets and what is known of the topic go
/// back together, and nothing tells anybody.
async fn lose_above(database: &TestDatabase, sensor_id: i64) {
    database
        .execute_as_superuser(&format!(
            "BEGIN;
             ALTER TABLE sensors DISABLE TRIGGER USER;
             DELETE FROM sensor_data WHERE sensor_id > {sensor_id};
             DELETE FROM sensors WHERE sensor_id > {sensor_id};
             DELETE FROM sensor_changes WHERE sensor_id > {sensor_id};
             DELETE FROM dead_letters;
             SELECT setval(pg_get_serial_sequence('sensors', 'sensor_id'), {sensor_id});
             UPDATE ingest_offsets SET next_offset = first_offset, stored = 0, duplicates = 0, dead_lettered = 0;
             UPDATE sensor_topics SET next_offset = 0;
             ALTER TABLE sensors ENABLE TRIGGER USER;
             ALTER TABLE sensors ENABLE ALWAYS TRIGGER sensorpipe_sensors_to_record_made;
             COMMIT;"
        ))
        .await;
}

#[tokio::test]
async fn they_come_back_with_their_ids_and_readings() {
    let site = Site::new(2).await;
    let api = Api::start(&site.database, &site.topic).await;
    let worker = site.worker();
    let mut sensors = BTreeMap::new();
    for number in 0..12 {
        let description = format!("sensor {number}");
        let id = api.make(&description).await;
        api.send(id, number).await;
        sensors.insert(i32::try_from(id).unwrap(), description);
    }
    let stored = "SELECT count(*) FROM sensor_data";
    comes_to("stored", PATIENCE, 12, async || site.database.number(stored).await).await;
    lose_above(&site.database, 5).await;
    // The first ids that the sequence gives out now are those of lost sensors.
    let id = api.make("one more").await;
    assert!(id > 13, "{id} was a lost sensor's");
    sensors.insert(i32::try_from(id).unwrap(), "one more".to_owned());
    comes_to("sensors", PATIENCE, sensors, async || described(&site.database).await).await;
    let on_theirs = "SELECT count(*) FROM sensor_data JOIN sensors USING (sensor_id) WHERE description = 'sensor ' || value";
    comes_to("readings on their sensors", PATIENCE, 12, async || site.database.number(on_theirs).await).await;
    assert_eq!(site.database.number("SELECT count(*) FROM dead_letters").await, 0, "{}", worker.stderr());
    assert!(worker.stderr().contains("the database had lost sensors"), "{}", worker.stderr());
    assert!(
        site.get("/metrics").await.contains("sensorpipe_sensors_restored_total 8"),
        "{}",
        site.get("/metrics").await
    );
    assert_eq!(
        site.database.number("SELECT count(*) FROM sensor_changes WHERE is_new AND sensor_id < 14").await,
        0,
        "what came from the topic is not told to it"
    );
    let by_hand = "INSERT INTO sensors (sensor_type) VALUES ('by hand') RETURNING sensor_id::bigint";
    assert!(site.database.number(by_hand).await > id, "the sequence is past them");
    drop(api.process);
}

#[tokio::test]
async fn until_they_are_back_nobody_is_told_that_there_are_none() {
    let site = Site::new(1).await;
    let (api, worker) = (Api::start(&site.database, &site.topic).await, site.worker());
    let (kept, lost, gone) = (api.make("kept").await, api.make("lost").await, api.make("gone").await);
    site.database.execute(&format!("DELETE FROM sensors WHERE sensor_id = {gone}")).await;
    site.is_told().await;
    drop((api, worker));
    lose_above(&site.database, kept).await;

    // One that has just started has heard of none of them.
    let api = Api::start(&site.database, &site.topic).await;
    let send = async |sensor_id: i64| {
        let reading = json!({"value": 1, "timestamp": 1_704_067_200});
        api.post(&format!("/sensor_data/{sensor_id}"), &reading).await.0
    };
    assert_eq!(send(lost).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(gone).await, StatusCode::NOT_FOUND, "it was deleted");
    let many = json!([1, lost, gone].map(|id| json!({"sensor_id": id, "value": 1})));
    let (_, told) = api.post("/readings", &many).await;
    let codes: Vec<&Value> =
        told["errors"].as_array().into_iter().flatten().map(|error| &error["code"]).collect();
    assert_eq!(codes, ["database_unavailable", "unknown_sensor"], "{told}");
    // One whose deletion the topic has not heard of is no lost one.
    site.database.execute(&format!("DELETE FROM sensors WHERE sensor_id = {kept}")).await;
    let told_of_none = async || send(kept).await == StatusCode::NOT_FOUND;
    eventually(PATIENCE, told_of_none).await;

    let _worker = site.worker();
    eventually(PATIENCE, async || send(lost).await == StatusCode::OK).await;
    assert_eq!(send(gone).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_empty_database_gets_its_sensors_from_their_topic() {
    let site = Site::new(1).await;
    let (api, worker) = (Api::start(&site.database, &site.topic).await, site.worker());
    let (kept, gone) = (api.make("kept").await, api.make("gone").await);
    site.database
        .execute(&format!(
            "UPDATE sensors SET location = 'here' WHERE sensor_id = {kept}; DELETE FROM sensors WHERE sensor_id = {gone}"
        ))
        .await;
    api.send(kept, 7).await;
    site.is_told().await;
    drop((api, worker));

    let other = site.emptied().await;
    let _worker = other.worker();
    let back = format!(
        "SELECT count(*) FROM sensors WHERE sensor_id = {kept} AND location = 'here' AND description = 'kept'"
    );
    comes_to("the sensor as it was last", PATIENCE, 1, async || other.database.number(&back).await).await;
    let read = format!("SELECT count(*) FROM sensor_data WHERE sensor_id = {kept} AND value = 7");
    comes_to("its readings", PATIENCE, 1, async || other.database.number(&read).await).await;
    assert_eq!(
        other.database.number(&format!("SELECT count(*) FROM sensors WHERE sensor_id = {gone}")).await,
        0
    );
    let api = Api::start(&other.database, &other.topic).await;
    assert!(api.make("new").await > gone, "nor are ids of deleted sensors given out again");
}

#[tokio::test]
async fn two_databases_that_both_take_themselves_for_the_primary_never_give_out_the_same_id() {
    const EACH: usize = 30;
    let topic = TestTopic::create(1).await;
    let (one, other) = (TestDatabase::create().await, TestDatabase::create().await);
    let (of_one, of_other) = tokio::join!(Api::start(&one, &topic), Api::start(&other, &topic));
    let make = async |api: &Api| {
        let mut ids = Vec::new();
        for number in 0..EACH {
            ids.push(api.make(&format!("{number}")).await);
        }
        ids
    };
    let (mut ids, of_others) = tokio::join!(make(&of_one), make(&of_other));
    ids.extend(of_others);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * EACH);
}

#[tokio::test]
async fn without_their_topic_none_is_made_and_everything_else_goes_on() {
    let site = Site::new(1).await;
    let sensors_topic = site.topic.config().of_sensors().kafka_topic;
    site.topic.admin().delete_topics(&[&sensors_topic], &rdkafka::admin::AdminOptions::new()).await.unwrap();
    let (api, worker) = (Api::start(&site.database, &site.topic).await, site.worker());
    let (status, told) = api.post("/sensors", &json!({"sensor_type": "test"})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{told}");
    assert_eq!(site.database.number("SELECT count(*) FROM sensors").await, 1, "{told}");
    api.send(1, 1).await;
    site.topic.produce([crate::reading_of(99, 1)]).await;
    let fates = "SELECT (SELECT count(*) FROM sensor_data) * 10 + (SELECT count(*) FROM dead_letters)";
    comes_to("stored and dead-lettered", PATIENCE, 11, async || site.database.number(fates).await).await;
    assert!(worker.stderr().contains("run `sensorpipe migrate`"), "{}", worker.stderr());
    site.done("migrate").await;
    tokio::time::timeout(Duration::from_secs(30), api.make("after it"))
        .await
        .expect("as soon as it is there");
}
