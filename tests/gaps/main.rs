//! A log and a stored offset that contradict each other, and stored offsets that people move: each is named, and each
//! has a command to go on with, while workers run.

mod accepted;
mod diverged;
mod lost_sensors;
mod other_cluster;
mod other_database;
mod recreated;
mod replayed;
mod sensors_topic;

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use testbed::{Record, Role, Sensorpipe, TestDatabase, TestTopic, eventually, free_address};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database, a topic, and a worker that serves its metrics and health.
struct Site {
    database: TestDatabase,
    topic: TestTopic,
    operations: SocketAddr,
}

/// What a command came to.
struct Ran {
    is_success: bool,
    stdout: String,
    stderr: String,
}

impl Site {
    /// With one sensor.
    async fn new(partitions: i32) -> Self {
        let (database, topic) = (TestDatabase::create().await, TestTopic::create(partitions).await);
        database.add_sensors(1).await;
        Self { database, topic, operations: free_address() }
    }

    fn role(&self, words: &str) -> Role {
        let words: Vec<&str> = words.split(' ').collect();
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &words).database(&self.database).topic(&self.topic)
    }

    fn worker(&self) -> Sensorpipe {
        self.role("worker --consumers 2").env("METRICS_ADDR", &self.operations.to_string()).start()
    }

    /// Runs a command to its end.
    async fn run(&self, words: &str) -> Ran {
        let mut process = self.role(words).env("USER", "tester").start();
        let is_success = process.ended(PATIENCE).await.success();
        Ran { is_success, stdout: process.stdout(), stderr: process.stderr() }
    }

    /// Runs a command that has to succeed; what it printed.
    async fn done(&self, words: &str) -> String {
        let ran = self.run(words).await;
        assert!(ran.is_success, "sensorpipe {words}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs a command that has to fail; what it said.
    async fn refused(&self, words: &str) -> String {
        let ran = self.run(words).await;
        assert!(!ran.is_success, "sensorpipe {words} was not refused: {}", ran.stdout);
        ran.stderr
    }

    /// The rows of `offsets list`, in its order.
    async fn listed(&self) -> Vec<Value> {
        let list = self.done("offsets list --format json").await;
        serde_json::from_str(&list).unwrap_or_else(|error| panic!("{error}: {list}"))
    }

    async fn verdicts(&self) -> Vec<String> {
        let text = |row: &Value| row["verdict"].as_str().expect("each has one").to_owned();
        self.listed().await.iter().map(text).collect()
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.operations);
        reqwest::get(url).await.expect("the worker answers").text().await.expect("it is text")
    }

    /// What `/readyz` answers.
    async fn health(&self) -> Value {
        serde_json::from_str(&self.get("/readyz").await).expect("health is JSON")
    }

    /// Waits until the worker's log, health and metrics name a gap of a partition.
    async fn is_named(&self, worker: &Sensorpipe, gap: &str, partition: i32) {
        let (quoted, number) = (format!("gap=\"{gap}\""), format!("kafka.partition={partition} "));
        eventually(PATIENCE, async || {
            let log = worker.stderr();
            log.lines().any(|line| line.contains("ERROR") && line.contains(&quoted) && line.contains(&number))
        })
        .await;
        // Where its consumers share out the partitions anew just now, the next owner names it again.
        let reason = format!("partition {partition} {gap};");
        eventually(PATIENCE, async || {
            let health = self.health().await;
            assert_eq!(health["ready"], true, "{health}");
            let component = &health["components"]["partitions"];
            component["state"] == "down"
                && component["reason"].as_str().is_some_and(|it| it.contains(&reason))
        })
        .await;
        let metrics = self.get("/metrics").await;
        assert!(metrics.contains(&format!("sensorpipe_gaps_total{{gap=\"{gap}\"}}")), "{metrics}");
        assert!(metrics.contains(&format!("sensorpipe_stalled_partitions{{gap=\"{gap}\"}} ")), "{metrics}");
    }

    /// Waits until the worker's health and metrics name no gap any more.
    async fn is_clear(&self) {
        eventually(PATIENCE, async || self.health().await["components"]["partitions"]["state"] == "up").await;
        let metrics = self.get("/metrics").await;
        let blocked = metrics.lines().filter(|line| line.starts_with("sensorpipe_stalled_partitions{"));
        assert!(
            blocked.clone().count() == 8 && blocked.clone().all(|line| line.ends_with("} 0")),
            "{metrics}"
        );
    }

    /// Kind, partition, from and to of each move, in their order.
    async fn moves(&self) -> Vec<(String, i64, i64, i64)> {
        let moves: Vec<Value> =
            serde_json::from_str(&self.done("offsets moves --format json").await).expect("it is JSON");
        moves
            .iter()
            .map(|moved| {
                assert_eq!(moved["moved_by"], "tester");
                let number = |name: &str| moved[name].as_i64().expect("a number");
                let kind = moved["kind"].as_str().expect("a name").to_owned();
                (kind, number("partition"), number("from_offset"), number("to_offset"))
            })
            .collect()
    }
}

/// A record with one reading of sensor 1; the time is in seconds after 2024-01-01.
fn reading(second: i64) -> Record {
    reading_of(1, second)
}

fn reading_of(sensor_id: i32, second: i64) -> Record {
    let timestamp = 1_704_067_200 + second;
    Record::new(format!(r#"{{"sensor_id":{sensor_id},"value":1.5,"timestamp":{timestamp}}}"#))
        .key(sensor_id.to_string())
}

/// Readings of these seconds, in turns to two partitions.
fn spread(seconds: std::ops::Range<i64>) -> impl Iterator<Item = Record> + Send + 'static {
    seconds.map(|second| reading(second).partition(second as i32 % 2))
}
