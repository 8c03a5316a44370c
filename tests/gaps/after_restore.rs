//! Sensors made since a backup: their ids are not given out again.

use sensorpipe::{config::KafkaSettings, kafka::find_topic, log::TopicIdentity};
use testbed::Record;

use crate::{Site, reading_of};

const NEXT_ID: &str = "INSERT INTO sensors (sensor_type) VALUES ('new') RETURNING sensor_id::bigint";

#[tokio::test]
async fn ids_above_the_stored_offsets_are_not_given_out_again() {
    let site = Site::new(3).await;
    // Sensor 9 is of a time that the backup has: its readings are stored, and it was deleted since.
    site.topic.produce([reading_of(9, 0).partition(0), reading_of(1, 1).partition(0)]).await;
    site.topic.produce([reading_of(2, 2).partition(0)]).await;
    let batch = r#"{"sensor_id":5,"data":[{"value":1,"timestamp":1704067200}]}"#;
    site.topic.produce([Record::new(batch).partition(1), Record::new("broken").partition(1)]).await;
    let many =
        r#"[{"sensor_id":4,"value":1,"timestamp":1},{"sensor_id":7,"value":1,"timestamp":1704067200}]"#;
    site.topic.produce_in_transaction([Record::new(many).partition(2)], true).await;
    site.topic.produce_in_transaction([reading_of(800, 3).partition(2)], false).await;
    let (kafka, settings) = (site.topic.config(), KafkaSettings::default());
    let TopicIdentity { cluster_id, topic_id } = find_topic(&kafka, &settings).await.unwrap().identity;
    let stored = format!(
        "INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset)
         VALUES ('{cluster_id}', '{}', '{topic_id}', 0, 0, 1)",
        site.topic.name
    );
    site.database.execute(&stored).await;

    let shown = site.done("after-restore --dry-run").await;
    assert!(shown.contains("ids in the log above 1, the last one given out: 2, 4, 5, 7"), "{shown}");
    assert!(
        shown.contains("of these without a sensor, so that their readings become dead letters: 2, 4, 5, 7"),
        "{shown}"
    );
    site.done("after-restore --at-most 5").await;
    assert_eq!(site.database.number(NEXT_ID).await, 6);
    // It only goes up, and may be run again.
    site.done("after-restore").await;
    assert_eq!(site.database.number(NEXT_ID).await, 8);
    let nothing = site.done("after-restore").await;
    assert!(nothing.contains("nothing to do"), "{nothing}");
    assert_eq!(site.database.number(NEXT_ID).await, 9);
}

#[tokio::test]
async fn a_stray_id_does_not_use_up_the_others() {
    let site = Site::new(1).await;
    site.topic.produce([reading_of(2_147_483_647, 0), reading_of(12, 1)]).await;
    let refused = site.refused("after-restore").await;
    assert!(refused.contains("--at-most"), "{refused}");
    assert_eq!(site.database.number(NEXT_ID).await, 2);
    let done = site.done("after-restore --at-most 1000").await;
    assert!(done.contains("left aside, as --at-most says: 2147483647"), "{done}");
    assert_eq!(site.database.number(NEXT_ID).await, 13);
}
