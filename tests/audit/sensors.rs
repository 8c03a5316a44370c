//! The table of sensors against their topic.

use testbed::comes_to;

use crate::site::{PATIENCE, Site};

impl Site {
    /// Has a worker keep the table and the topic alike, and stops it.
    async fn keep_sensors(&self) {
        let topic = self.topic.config().of_sensors().kafka_topic;
        let mut worker = self.worker().env("SENSORPIPE_TEST_KAFKA_SENSORS_TOPIC", &topic).start();
        comes_to("sensors that differ", PATIENCE, Vec::<String>::new(), async || {
            self.audit(&[]).await.differences()
        })
        .await;
        let left = "SELECT count(*) FROM sensor_changes";
        comes_to("changes left", PATIENCE, 0, async || self.database.number(left).await).await;
        worker.terminate();
        assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    }
}

#[tokio::test]
async fn what_only_one_of_them_has_is_named_until_a_worker_runs() {
    let site = Site::new(1, 5).await;
    site.is_clean(&[]).await;
    site.keep_sensors().await;
    site.database
        .execute_as_superuser(
            "ALTER TABLE sensors DISABLE TRIGGER USER;
             DELETE FROM sensors WHERE sensor_id = 2;
             INSERT INTO sensors (sensor_id, sensor_type) VALUES (70, 'test');
             UPDATE sensor_topics SET next_offset = 0;
             ALTER TABLE sensors ENABLE TRIGGER USER;",
        )
        .await;
    let audited = site.differs(&[], &["sensors_lost", "sensors_untold"]).await;
    let told = audited.report["differences"].to_string();
    assert!(
        told.contains("are not in the table: 2;") && told.contains("are not in their topic: 70;"),
        "{told}"
    );
    site.keep_sensors().await;
    let there = "SELECT count(*) FROM sensors WHERE sensor_id IN (2, 70)";
    assert_eq!(site.database.number(there).await, 2);
}

#[tokio::test]
async fn without_their_topic_they_are_not_compared() {
    let site = Site::new(1, 1).await;
    let role =
        site.role(&["audit", "--format", "json"]).env("SENSORPIPE_TEST_KAFKA_SENSORS_TOPIC", "there-is-none");
    let mut audit = role.start();
    assert!(audit.ended(PATIENCE).await.success(), "{}", audit.stderr());
    assert!(audit.stdout().contains("sensors_not_compared"), "{}", audit.stdout());
}
