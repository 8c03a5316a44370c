//! Standbys that were behind are promoted, one after the other, while sensors are made: no id is ever two sensors', every
//! sensor that was answered is there, and every reading that was acknowledged is on the sensor that it was sent for.

use std::{collections::BTreeMap, time::Duration};

use testbed::{Node, Replication, Role, TestDatabase, TestTopic, comes_to, eventually};
use tokio::time::Instant;

use crate::{PATIENCE, api::Api};

/// Failovers.
const ROUNDS: usize = 3;
/// How long a standby falls behind.
const BEHIND_FOR: Duration = Duration::from_secs(3);
/// Sensors that are made at once after each failover.
const MADE_AFTER: usize = 10;

/// What was answered: the number of each sensor, by its id.
#[derive(Default)]
struct Answered {
    sensors: BTreeMap<i64, usize>,
    made: usize,
}

impl Answered {
    /// Makes a sensor and sends a reading for it, each again until it is answered; the value is the sensor's number.
    async fn make(&mut self, api: &Api) {
        let number = self.made;
        self.made += 1;
        let body = format!(r#"{{"sensor_type":"test","description":"{number}"}}"#);
        let mut id = 0;
        eventually(PATIENCE, async || match api.ask("POST", "/sensors", &body).await {
            Some((200, answer)) => {
                let answer: serde_json::Value = serde_json::from_str(&answer).expect("it is JSON");
                id = answer["sensor_id"].as_i64().expect("an id");
                true
            }
            _ => false,
        })
        .await;
        if let Some(other) = self.sensors.insert(id, number) {
            panic!("{id} is the id of sensors {other} and {number}");
        }
        self.send(api, id).await;
    }

    async fn send(&self, api: &Api, id: i64) {
        let number = self.sensors[&id];
        let path = format!("/sensor_data/{id}");
        let reading = format!(r#"{{"value":{number},"timestamp":"2026-01-01T00:00:{:02}Z"}}"#, number % 60);
        eventually(PATIENCE, async || matches!(api.ask("POST", &path, &reading).await, Some((200, _)))).await;
    }
}

#[tokio::test]
async fn no_id_is_given_out_twice_and_no_reading_changes_sensors() {
    let servers = Replication::start(env!("CARGO_TARGET_TMPDIR")).await;
    let mut database = TestDatabase::create_at(&servers.url(Node::One)).await;
    let topic = TestTopic::create(2).await;
    let url = servers.url_of_both(Node::One, database.name());
    let api = Api::start(&url, &topic);
    let worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "2"])
        .topic(&topic)
        .env("DATABASE_URL", &url)
        .start();
    let mut answered = Answered::default();
    answered.make(&api).await;
    let mut primary = Node::One;
    for round in 0..ROUNDS {
        let standby = primary.other();
        servers.caught_up(standby).await;
        servers.detach(standby).await;
        let began = Instant::now();
        let before = answered.made;
        while began.elapsed() < BEHIND_FOR {
            answered.make(&api).await;
        }
        println!("round {round}: {} sensors that the standby does not have", answered.made - before);
        assert!(answered.made > before, "there is something to lose");
        servers.kill(primary).await;
        servers.promote(standby).await;
        database.move_to(&servers.url(standby));
        for _ in 0..MADE_AFTER {
            answered.make(&api).await;
        }
        servers.rejoin(primary).await;
        primary = standby;
    }
    // One that was not answered, and sent again, may be there besides.
    comes_to("sensors that are missing or others", PATIENCE, 0, async || {
        let there: Vec<(i64, String)> = sqlx::query_as("SELECT sensor_id::bigint, description FROM sensors")
            .fetch_all(&database.pool)
            .await
            .unwrap_or_default();
        let there: BTreeMap<i64, String> = there.into_iter().collect();
        answered.sensors.iter().filter(|(id, number)| there.get(id) != Some(&number.to_string())).count()
    })
    .await;
    let on_theirs = "SELECT count(DISTINCT sensor_id) FROM sensor_data JOIN sensors USING (sensor_id) \
                     WHERE description = value::text";
    let all = i64::try_from(answered.sensors.len()).unwrap();
    comes_to("readings on their sensors", PATIENCE, all, async || database.number(on_theirs).await).await;
    assert_eq!(database.row_count().await, all, "none is on another one's");
    assert_eq!(database.dead_letters().await, [], "{}", worker.stderr());
    let mut audit = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["audit"])
        .topic(&topic)
        .env("DATABASE_URL", &url)
        .start();
    assert!(audit.ended(PATIENCE).await.success(), "{}{}", audit.stdout(), audit.stderr());
    assert!(worker.stderr().contains("the database had lost sensors"), "{}", worker.stderr());
}
