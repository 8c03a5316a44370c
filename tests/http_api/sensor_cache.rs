//! What each api process knows of sensors that others make and delete.

use std::time::{Duration, Instant};

use sensorpipe::{
    health::{Health, Need},
    http::SensorCache,
    store::Pool,
};
use testbed::{Gate, Role, Sensorpipe, TestDatabase, TestTopic, comes_to, config, eventually, free_address};
use tokio_util::sync::CancellationToken;

use crate::site::PATIENCE;

/// How soon a process has to know.
const SOON: Duration = Duration::from_secs(1);

/// A cache that follows a database, as the role has it.
struct Following {
    known: SensorCache,
    stop: CancellationToken,
}

impl Following {
    fn start(url: &str) -> Self {
        let database: sensorpipe::config::DatabaseConfig = config(&["--database-url", url]);
        let known = SensorCache::new(&Pool::new(&database).unwrap(), 1_000);
        let stop = CancellationToken::new();
        let session = Health::default().component("postgres_session", Need::Required);
        tokio::spawn(known.clone().follow(database, session, stop.clone()));
        Self { known, stop }
    }

    async fn hears_of(&self, sensor_id: i32, exists: bool, patience: Duration) {
        comes_to(&format!("sensor {sensor_id}"), patience, exists, async || self.known.is_cached(sensor_id))
            .await;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn it_begins_with_what_is_there_and_hears_of_everything_after() {
    let database = TestDatabase::create().await;
    database.add_sensors(3).await;
    let following = Following::start(&database.url);
    following.hears_of(3, true, PATIENCE).await;
    assert!(following.known.is_cached(1) && !following.known.is_cached(4));

    // By anybody's SQL: many at once, with gaps, below zero.
    database.add_sensors(20).await;
    following.hears_of(23, true, SOON).await;
    database
        .execute("INSERT INTO sensors (sensor_id, sensor_type) VALUES (-5, 't'), (900, 't'), (902, 't')")
        .await;
    for id in [-5, 900, 902] {
        following.hears_of(id, true, SOON).await;
    }
    assert!(!following.known.is_cached(901));
    database.execute("DELETE FROM sensors WHERE sensor_id IN (-5, 2, 3)").await;
    for id in [-5, 2, 3] {
        following.hears_of(id, false, SOON).await;
    }
    assert!(following.known.is_cached(1));
    database.execute("UPDATE sensors SET sensor_id = 77 WHERE sensor_id = 900").await;
    following.hears_of(77, true, SOON).await;
    following.hears_of(900, false, SOON).await;

    // Nothing that was rolled back is heard of; and what is too long to say is read.
    database.execute("BEGIN; INSERT INTO sensors (sensor_id, sensor_type) VALUES (78, 't'); ROLLBACK").await;
    database
        .execute("INSERT INTO sensors (sensor_id, sensor_type) SELECT n * 2 + 10000, 't' FROM generate_series(1, 900) AS n")
        .await;
    following.hears_of(11800, true, SOON).await;
    assert!(!following.known.is_cached(78));
    database.execute("TRUNCATE sensors CASCADE").await;
    following.hears_of(1, false, SOON).await;
}

#[tokio::test]
async fn what_is_said_is_looked_for_and_not_believed() {
    let database = TestDatabase::create().await;
    database.add_sensors(2).await;
    let following = Following::start(&database.url);
    following.hears_of(2, true, PATIENCE).await;
    database.execute("SELECT pg_notify('sensorpipe_sensors', '-1:1')").await;
    database.execute("SELECT pg_notify('sensorpipe_sensors', '+777777:777777')").await;
    // Once this one is heard of, the others were.
    database.add_sensors(1).await;
    following.hears_of(3, true, SOON).await;
    assert!(following.known.is_cached(1) && !following.known.is_cached(777_777));
}

#[tokio::test]
async fn what_happened_while_the_connection_was_away_is_caught_up() {
    let database = TestDatabase::create().await;
    database.add_sensors(2).await;
    let (start, rest) = database.url.split_once('@').unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let gate = Gate::to(address);
    let following = Following::start(&format!("{start}@{}/{name}", gate.address));
    following.hears_of(2, true, PATIENCE).await;
    gate.close();
    database.execute("DELETE FROM sensors WHERE sensor_id = 1").await;
    database.add_sensors(1).await;
    assert!(
        following.known.is_cached(1) && following.known.is_cached(2),
        "what is known stays while nobody answers"
    );
    gate.open();
    following.hears_of(3, true, PATIENCE).await;
    following.hears_of(1, false, PATIENCE).await;
    assert!(following.known.is_cached(2));
}

/// An api as a process of its own.
struct OtherApi {
    process: Sensorpipe,
    url: String,
    client: reqwest::Client,
}

impl OtherApi {
    async fn start(database: &TestDatabase, topic: &TestTopic) -> Self {
        let address = free_address().to_string();
        let process = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["api"])
            .database(database)
            .topic(topic)
            .env("HTTP_ADDR", &address)
            .start();
        let api = Self { process, url: format!("http://{address}"), client: reqwest::Client::new() };
        eventually(PATIENCE, async || api.process.stderr().contains("sensors are known")).await;
        api
    }

    async fn send(&self, sensor_id: i32) -> u16 {
        let request = self.client.post(format!("{}/sensor_data/{sensor_id}", self.url));
        let answer = request.header("content-type", "application/json").body(r#"{"value":1}"#).send();
        answer.await.unwrap().status().as_u16()
    }

    async fn sensors(&self, path: &str, body: Option<&str>) -> u16 {
        let url = format!("{}/sensors{path}", self.url);
        let request = match body {
            Some(body) => {
                self.client.post(url).header("content-type", "application/json").body(body.to_owned())
            }
            None => self.client.delete(url),
        };
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn a_process_hears_of_anothers_sensors_within_a_second() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let (one, two) = tokio::join!(OtherApi::start(&database, &topic), OtherApi::start(&database, &topic));
    // The other one has just said that there is no such sensor, and remembers it.
    assert_eq!(two.send(1).await, 404);
    assert_eq!(one.sensors("", Some(r#"{"sensor_type":"t"}"#)).await, 200);
    assert_eq!(one.send(1).await, 200, "at once where it was made");
    comes_to("a sensor that was made", SOON, 200, async || two.send(1).await).await;
    assert_eq!(
        two.sensors("/bulk", Some(r#"{"sensors":[{"sensor_type":"a"},{"sensor_type":"b"}]}"#)).await,
        201
    );
    assert_eq!(two.send(3).await, 200);
    comes_to("sensors that were made", SOON, 200, async || one.send(3).await).await;

    assert_eq!(two.sensors("/3", None).await, 200);
    assert_eq!(two.send(3).await, 404, "at once where it was deleted");
    comes_to("a sensor that was deleted", SOON, 404, async || one.send(3).await).await;
}

#[tokio::test]
async fn an_unknown_id_does_not_hammer_postgres() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let api = OtherApi::start(&database, &topic).await;
    assert_eq!(api.send(99).await, 404);
    // With the table locked every look-up would wait: only what is remembered is answered at once.
    let held = database.hold("LOCK TABLE sensors IN ACCESS EXCLUSIVE MODE").await;
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(api.send(99).await, 404);
    }
    assert!(started.elapsed() < Duration::from_millis(700), "{:?}", started.elapsed());
    drop(held);
}
