//! Replays: the stored offsets go back under workers that run, and nothing is there twice.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use sensorpipe::{config::KafkaSettings, kafka::find_topic};
use testbed::{Record, Tally, comes_to, eventually};

use crate::{PATIENCE, Site, reading, reading_of, spread};

#[tokio::test]
async fn an_idle_worker_reads_again_from_an_offset_and_stores_what_is_missing() {
    let site = Site::new(2).await;
    site.topic.produce(spread(0..38)).await;
    // A dead letter of each kind: the record as a whole, and one reading of it.
    site.topic.produce([Record::new("broken").partition(0)]).await;
    let unknown = r#"[{"sensor_id":1,"value":1,"timestamp":1704067238},{"sensor_id":2,"value":1,"timestamp":1704067239}]"#;
    site.topic.produce([Record::new(unknown).partition(1)]).await;
    let _worker = site.worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let before = Tally { stored: 39, duplicates: 0, dead_lettered: 2 };
    assert_eq!(site.database.tally().await, before);
    let letters = site.database.dead_letters().await;
    assert_eq!(letters.len(), 2);

    // Somebody deleted rows by mistake, 5 in each partition.
    let deleted =
        "DELETE FROM sensor_data WHERE time >= '2024-01-01 00:00:20Z' AND time < '2024-01-01 00:00:30Z'";
    site.database.execute(deleted).await;

    for (words, why) in [
        ("replay --from 10 --yes", "an offset is one partition's"),
        ("replay --from 21 --partition 0 --yes", "never forward"),
        ("replay --from 21 --partition 0,1 --yes", "never forward"),
        ("replay --from 5 --partition 2 --yes", "no partition 2"),
        ("replay --from 5 --partition 0", "--yes"),
    ] {
        let refused = site.refused(words).await;
        assert!(refused.contains(why), "{words}: {refused}");
    }
    let shown = site.done("replay --from 5 --partition 0 --dry-run").await;
    assert!(shown.contains("partition 0: 20 -> 5, 15 offsets read again"), "{shown}");
    assert_eq!((site.database.next_offsets().await, site.moves().await), (vec![20, 20], vec![]));

    site.done("replay --from 5 --partition 0 --yes").await;
    site.done("replay --from earliest --partition 1 --yes").await;
    comes_to("rows", PATIENCE, 39, async || site.database.row_count().await).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    assert_eq!(site.moves().await, [("replay".to_owned(), 0, 20, 5), ("replay".to_owned(), 1, 20, 0)]);
    // 14 readings and a dead letter again in one partition, 20 and a dead letter in the other; 10 of them were missing.
    assert_eq!(site.database.tally().await, Tally { stored: 49, duplicates: 24, dead_lettered: 4 });
    assert_eq!(site.database.dead_letters().await, letters);
    let counted = "SELECT sum(stored + duplicates + dead_lettered)::bigint FROM offset_moves";
    assert_eq!(site.database.number(counted).await, 41, "counts at the time of the moves");
}

#[tokio::test]
async fn a_time_finds_the_first_record_that_is_as_late() {
    let site = Site::new(2).await;
    let at = |millis: i64, second: i64| reading(second).partition(second as i32 % 2).timestamp_ms(millis);
    let first: i64 = 1_767_225_600_000;
    site.topic.produce((0..40).map(move |n| at(first + n * 1_000, n))).await;
    let _worker = site.worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;

    let time = |millis: i64| {
        DateTime::from_timestamp_millis(millis).unwrap().to_rfc3339_opts(SecondsFormat::AutoSi, true)
    };
    // Just after record 30, so that one partition begins with 31, the other with 32.
    site.done(&format!("replay --from {} --yes", time(first + 30_001))).await;
    eventually(PATIENCE, async || site.database.tally().await.duplicates == 9).await;
    assert_eq!(site.moves().await, [("replay".to_owned(), 0, 20, 16), ("replay".to_owned(), 1, 20, 15)]);
    let nothing = site.done(&format!("replay --from {} --yes", time(first + 86_400_000))).await;
    assert!(nothing.contains("nothing to move"), "{nothing}");
    assert_eq!(site.database.row_count().await, 40);
}

#[tokio::test]
async fn replays_under_load_lose_nothing_and_store_nothing_twice() {
    const SENSORS: i32 = 4;
    const READINGS: i64 = 60_000;
    let site = Site::new(2).await;
    site.database.add_sensors(SENSORS - 1).await;
    let _worker = site.worker();
    let sink = site.topic.sink();
    let sending = tokio::spawn(async move {
        for start in (0..READINGS).step_by(2_000) {
            let some = start..start + 2_000;
            sink.produce(some.map(|n| reading_of(n as i32 % SENSORS + 1, n).partition(n as i32 % 2))).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut replays = 0;
    while !sending.is_finished() {
        site.done("replay --from earliest --yes").await;
        replays += 1;
    }
    sending.await.unwrap();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    assert!(replays > 1, "the load was over too soon");
    assert_eq!(site.database.row_count().await, READINGS);
    assert_eq!(site.database.tally().await.stored, READINGS);
    // What was read again is what the moves say: the counts are those of the log and of every way back.
    let read_again = site
        .database
        .number("SELECT coalesce(sum(from_offset - to_offset), 0)::bigint FROM offset_moves")
        .await;
    assert_eq!(site.database.tally().await.duplicates, read_again);
}

/// The rows stay locked for no longer than ten seconds, and the records before each new offset are read meanwhile.
#[tokio::test]
async fn many_partitions_are_read_at_the_same_time() {
    const PARTITIONS: i32 = 150;
    const RECORDS: i64 = 600;
    let site = Site::new(PARTITIONS).await;
    // So close together that what lies further back may have an effect: each log is read back to its start.
    let at = |millis: i64, partition: i32| {
        reading(1).partition(partition).timestamp_ms(1_767_225_600_000 + millis)
    };
    let records = (0..RECORDS).flat_map(move |n| (0..PARTITIONS).map(move |partition| at(n, partition)));
    site.topic.produce(records).await;
    let identity = find_topic(&site.topic.config(), &KafkaSettings::default()).await.unwrap().identity;
    let stored = format!(
        "INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset)
         SELECT '{}', '{}', '{}', partition, 0, {RECORDS} FROM generate_series(0, {}) partition",
        identity.cluster_id,
        site.topic.name,
        identity.topic_id,
        PARTITIONS - 1
    );
    site.database.execute(&stored).await;

    let time = DateTime::from_timestamp_millis(1_767_225_600_550).unwrap();
    let from = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    site.done(&format!("replay --from {from} --yes")).await;
    assert_eq!(site.database.next_offsets().await, vec![550; PARTITIONS as usize]);
}
