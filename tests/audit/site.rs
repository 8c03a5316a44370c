//! A database, a topic, and audits of them.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;
use testbed::{Record, Role, Sensorpipe, TestDatabase, TestTopic};

/// Bound on anything that takes seconds on a machine that has nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A database and a topic.
pub(crate) struct Site {
    pub(crate) database: TestDatabase,
    pub(crate) topic: TestTopic,
    workers: AtomicU32,
}

/// What an audit came to.
#[derive(Debug)]
pub(crate) struct Audited {
    pub(crate) code: i32,
    pub(crate) report: Value,
}

impl Site {
    pub(crate) async fn new(partitions: i32, sensors: i32) -> Self {
        Self::with_topic(TestTopic::create(partitions).await, sensors).await
    }

    pub(crate) async fn with_topic(topic: TestTopic, sensors: i32) -> Self {
        let database = TestDatabase::create().await;
        database.add_sensors(sensors).await;
        Self { database, topic, workers: AtomicU32::new(0) }
    }

    pub(crate) fn role(&self, args: &[&str]) -> Role {
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args).database(&self.database).topic(&self.topic)
    }

    /// A worker; from the second on in a group of its own, so that it need not wait until the group has missed the one
    /// before. The database's offsets are the same.
    pub(crate) fn worker(&self) -> Role {
        let role = self.role(&["worker", "--consumers", "2"]);
        match self.workers.fetch_add(1, Ordering::Relaxed) {
            0 => role,
            number => role.env("KAFKA_GROUP", &format!("{}-{number}", self.topic.name)),
        }
    }

    /// Has a worker store all that is in the topic, and stops it.
    pub(crate) async fn store_all(&self) {
        self.stop_when_stored(self.worker().start()).await;
    }

    pub(crate) async fn stop_when_stored(&self, mut worker: Sensorpipe) {
        self.database.stores_all_of(&self.topic, PATIENCE).await;
        worker.terminate();
        assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    }

    /// Runs an audit to its end.
    pub(crate) async fn audit(&self, flags: &[&str]) -> Audited {
        let flags = [&["audit", "--format", "json"], flags].concat();
        let mut audit = self.role(&flags).start();
        let code = audit.ended(PATIENCE).await.code().expect("it ends by itself");
        let report = serde_json::from_str(&audit.stdout());
        Audited { code, report: report.unwrap_or_else(|_| panic!("exit code {code}: {}", audit.stderr())) }
    }

    /// Audits and asserts that nothing is wrong.
    #[track_caller]
    pub(crate) fn is_clean(&self, flags: &[&str]) -> impl Future<Output = Audited> {
        let caller = std::panic::Location::caller();
        async move {
            let audited = self.audit(flags).await;
            assert_eq!((audited.code, audited.differences()), (0, vec![]), "{caller}: {:#}", audited.report);
            assert_eq!(audited.report["verdict"], "clean", "{caller}");
            audited
        }
    }

    /// Audits and asserts that these kinds of differences are there and no others.
    #[track_caller]
    pub(crate) fn differs(&self, flags: &[&str], kinds: &[&str]) -> impl Future<Output = Audited> {
        let caller = std::panic::Location::caller();
        async move {
            let audited = self.audit(flags).await;
            assert_eq!(audited.differences(), kinds, "{caller}: {:#}", audited.report);
            assert_eq!((audited.code, &audited.report["verdict"]), (1, &"differences".into()), "{caller}");
            audited
        }
    }
}

impl Audited {
    /// Kinds of all differences, sorted.
    pub(crate) fn differences(&self) -> Vec<String> {
        self.kinds("differences")
    }

    /// Kinds of all notes, sorted.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.kinds("notes")
    }

    pub(crate) fn partition(&self, partition: usize) -> &Value {
        &self.report["partitions"][partition]
    }

    fn kinds(&self, what: &str) -> Vec<String> {
        let partitions = self.report["partitions"].as_array().expect("a list");
        let mut kinds: Vec<String> = partitions
            .iter()
            .chain([&self.report])
            .flat_map(|part| part[what].as_array().expect("a list"))
            .map(|remark| remark["kind"].as_str().expect("text").to_owned())
            .collect();
        kinds.sort();
        kinds
    }
}

/// A record with one reading; the time is in seconds after 2024-01-01.
pub(crate) fn reading(sensor_id: i32, value: f64, second: i64) -> Record {
    let timestamp = 1_704_067_200 + second;
    Record::new(format!(r#"{{"sensor_id":{sensor_id},"value":{value},"timestamp":{timestamp}}}"#))
        .key(sensor_id.to_string())
}
