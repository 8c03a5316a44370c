//! Which of the table of sensors and their topic knows better: the table, of what it held once; and no database writes over
//! the sensors of the one that has the group.

use testbed::{TestDatabase, comes_to, eventually, free_address};

use crate::{PATIENCE, Site};

const UNTOLD: &str = "SELECT count(*) FROM sensor_changes";

impl Site {
    /// Waits until the topic has heard of all that was changed.
    pub(crate) async fn is_told(&self) {
        comes_to("changes that the topic is not told of", PATIENCE, 0, async || {
            self.database.number(UNTOLD).await
        })
        .await;
    }

    /// Waits until an empty database has these sensors, by the topic alone.
    async fn topic_says(self, expected: Vec<(i32, String)>) {
        let emptied = self.emptied().await;
        let _worker = emptied.worker();
        comes_to("what the topic says", PATIENCE, expected, async || emptied.sensors().await).await;
    }

    /// How many times the worker has looked whether the topic is to be told of something.
    async fn rounds(&self) -> usize {
        let metrics = self.get("/metrics").await;
        let counted = r#"sensorpipe_job_rounds_total{job_name="sensor_topic",outcome="succeeded"} "#;
        metrics.lines().find_map(|line| line.strip_prefix(counted)?.parse().ok()).unwrap_or(0)
    }

    async fn sensors(&self) -> Vec<(i32, String)> {
        sqlx::query_as("SELECT sensor_id, sensor_type FROM sensors ORDER BY sensor_id")
            .fetch_all(&self.database.pool)
            .await
            .expect("sensors are listed")
    }

    /// An empty database at the same topics.
    pub(crate) async fn emptied(self) -> Self {
        Self { database: TestDatabase::create().await, topic: self.topic, operations: free_address() }
    }
}

fn sensors(expected: &[(i32, &str)]) -> Vec<(i32, String)> {
    expected.iter().map(|(id, text)| (*id, (*text).to_owned())).collect()
}

async fn site_of_three() -> Site {
    let site = Site::new(1).await;
    site.database
        .execute("DELETE FROM sensors; INSERT INTO sensors (sensor_id, sensor_type) VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        .await;
    let worker = site.worker();
    site.is_told().await;
    drop(worker);
    site
}

#[tokio::test]
async fn a_group_that_is_used_again_is_told_what_has_changed_meanwhile() {
    let site = site_of_three().await;
    let other_group = format!("{}-other", site.topic.config().kafka_group);
    let role = |words: &str| site.role(words).env("KAFKA_GROUP", &other_group);
    assert!(role("migrate").start().ended(PATIENCE).await.success());
    let worker = role("worker --consumers 1").start();
    site.database
        .execute("UPDATE sensors SET sensor_type = 'changed' WHERE sensor_id = 1; DELETE FROM sensors WHERE sensor_id = 2")
        .await;
    site.is_told().await;
    drop(worker);

    let expected = sensors(&[(1, "changed"), (3, "three")]);
    let worker = site.worker();
    let lacking =
        "SELECT count(*) FROM sensor_topics WHERE lacks_changes AND topic NOT LIKE '%-other-sensors'";
    comes_to("topics that lack changes", PATIENCE, 0, async || site.database.number(lacking).await).await;
    assert_eq!(site.sensors().await, expected, "{}", worker.stderr());
    drop(worker);
    let mut of_other_group = site.topic.config();
    of_other_group.kafka_group = other_group;
    let of_other_group = of_other_group.of_sensors().kafka_topic;
    site.topic
        .admin()
        .delete_topics(&[of_other_group.as_str()], &rdkafka::admin::AdminOptions::new())
        .await
        .unwrap();
    site.topic_says(expected).await;
}

#[tokio::test]
async fn a_topic_that_was_cut_is_told_again_what_the_table_has() {
    let site = site_of_three().await;
    // Its end said so.
    site.database
        .execute_as_superuser(
            "ALTER TABLE sensors DISABLE TRIGGER USER;
             UPDATE sensors SET sensor_type = 'changed' WHERE sensor_id = 1;
             DELETE FROM sensors WHERE sensor_id = 2;
             INSERT INTO sensors (sensor_id, sensor_type) VALUES (4, 'four');
             ALTER TABLE sensors ENABLE TRIGGER USER;
             UPDATE sensor_topics SET next_offset = 1000;",
        )
        .await;
    // Whether 2 was deleted or lost nobody can tell.
    let expected = sensors(&[(1, "changed"), (2, "two"), (3, "three"), (4, "four")]);
    let worker = site.worker();
    eventually(PATIENCE, async || worker.stderr().contains("the topic of the sensors was cut")).await;
    let uncompared = "SELECT count(*) FROM sensor_topics WHERE next_offset = 1000";
    comes_to("topics that were not compared", PATIENCE, 0, async || site.database.number(uncompared).await)
        .await;
    site.is_told().await;
    assert_eq!(site.sensors().await, expected, "{}", worker.stderr());
    drop(worker);
    site.topic_says(expected).await;
}

#[tokio::test]
async fn a_database_that_the_group_is_refused_to_changes_nobodys_sensors() {
    let site = site_of_three().await;
    let worker = site.worker();
    site.topic.produce([crate::reading_of(1, 1)]).await;
    comes_to("stored", PATIENCE, 1, async || site.database.number("SELECT count(*) FROM sensor_data").await)
        .await;
    let before = site.sensors().await;

    let other = TestDatabase::create().await;
    other
        .execute("INSERT INTO sensors (sensor_id, sensor_type) VALUES (1, 'staging'), (9, 'staging'); DELETE FROM sensors WHERE sensor_id = 9")
        .await;
    let address = free_address();
    let refused = site
        .role("worker --consumers 1")
        .env("DATABASE_URL", &other.url_as("sensorpipe"))
        .env("METRICS_ADDR", &address.to_string())
        .start();
    eventually(PATIENCE, async || refused.stderr().contains("worker_group is down")).await;
    // As often as the other one has looked meanwhile, whose pauses are as long: one that may do nothing counts nothing.
    let looked = site.rounds().await;
    eventually(PATIENCE, async || site.rounds().await >= looked + 4).await;
    assert_eq!(site.sensors().await, before, "{}\n{}", worker.stderr(), refused.stderr());
    assert_eq!(other.number(UNTOLD).await, 3, "nobody is told: {}", refused.stderr());
}
