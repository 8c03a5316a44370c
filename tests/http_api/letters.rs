//! A site with dead letters in it.

use sensorpipe::config::DatabaseConfig;
use serde_json::{Value, json};
use testbed::{Gate, Record, Role, Sensorpipe, TestDatabase, TestTopic, config};

use crate::site::{PATIENCE, Site};

/// 2024-10-12T00:00:00Z.
pub(crate) const DAY_S: i64 = 1_728_691_200;

/// A reading of a sensor, so many seconds after [`DAY_S`].
pub(crate) fn reading(sensor_id: i32, second: i64) -> String {
    let timestamp = DAY_S + second;
    format!(r#"{{"sensor_id":{sensor_id},"value":{second},"timestamp":{timestamp}}}"#)
}

impl Site {
    /// A site whose worker has met these records, and has stopped.
    pub(crate) async fn with_records(sensors: i32, records: Vec<Record>) -> Self {
        let site = Self::start_on(TestTopic::create(1).await, &[]).await;
        site.database.add_sensors(sensors).await;
        site.take_in(records).await;
        site
    }

    /// Has a worker meet these records.
    pub(crate) async fn take_in(&self, records: Vec<Record>) {
        self.topic.produce(records).await;
        let mut worker = worker(&self.database, &self.topic).start();
        self.database.stores_all_of(&self.topic, PATIENCE).await;
        worker.kill();
    }

    /// Asks for a replay; what came of it.
    pub(crate) async fn replay(&self, body: Value) -> Value {
        self.server.post("/dead-letters/replay", body.to_string()).await.expect(200).json()
    }

    /// Ids of all dead letters, oldest first.
    pub(crate) async fn letter_ids(&self) -> Vec<i64> {
        sqlx::query_scalar("SELECT id FROM dead_letters ORDER BY id")
            .fetch_all(&self.database.pool)
            .await
            .unwrap()
    }

    /// So many dead letters went this way, by the count that goes with them.
    pub(crate) async fn removed(&self, outcome: &str) -> i64 {
        let topic_id = self.topic.id().await;
        let sql = format!(
            "SELECT coalesce(sum(letters), 0)::bigint FROM dead_letter_removals
             WHERE outcome = '{outcome}' AND topic = '{}' AND topic_id IN ('{topic_id}', '') AND partition = 0",
            self.topic.name
        );
        self.database.number(&sql).await
    }
}

/// Stored, duplicates and refused of an answer.
pub(crate) fn fates(answer: &Value) -> [i64; 3] {
    ["stored", "duplicates", "refused"].map(|fate| answer[fate].as_i64().unwrap())
}

/// Dead letters that a filter finds, and nothing else asked for.
pub(crate) fn by_reason(reason: &str) -> Value {
    json!({"filter": {"reason": reason}})
}

pub(crate) fn worker(database: &TestDatabase, topic: &TestTopic) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(database)
        .topic(topic)
}

/// A way to the database that can be cut.
pub(crate) fn gated(database: &TestDatabase) -> (Gate, DatabaseConfig) {
    let (before, rest) = database.url.split_once('@').expect("a URL with a role");
    let (server, name) = rest.split_once('/').expect("a URL with a database");
    let gate = Gate::to(server);
    let url = format!("{before}@{}/{name}", gate.address);
    (gate, config(&["--database-url", &url]))
}

/// Runs `sensorpipe dead-letters` to its end; whether it went well, and what it printed and logged.
pub(crate) async fn command(database: &TestDatabase, args: &[&str]) -> (bool, String, String) {
    let args = [&["dead-letters"], args].concat();
    let mut process: Sensorpipe =
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &args).database(database).start();
    let status = process.ended(PATIENCE).await;
    (status.success(), process.stdout(), process.stderr())
}
