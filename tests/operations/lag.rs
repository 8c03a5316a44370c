//! The lag is what is not stored: 0 where all is, whatever the log looks like, and right where nothing moves.

use testbed::{Record, TestDatabase, TestTopic, eventually, free_address};

use crate::{PATIENCE, scrape, worker};

fn reading(second: i64) -> Record {
    let timestamp = 1_704_067_200 + second;
    Record::new(format!(r#"{{"sensor_id":1,"value":1,"timestamp":{timestamp}}}"#))
        .key("1")
        .partition(second as i32 % 2)
}

/// Waits until `/metrics` says what is expected.
async fn says(address: &str, what: &str, condition: impl Fn(&str) -> bool) {
    println!("waiting for {what}");
    eventually(PATIENCE, async || match scrape::get(address, "/metrics").await {
        Some((_, metrics)) => condition(&metrics),
        None => false,
    })
    .await;
}

#[tokio::test]
async fn lag_is_what_is_not_stored() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(1).await;
    // Gaps: control records, and records that were taken back.
    topic.produce_in_transaction((0..10).map(reading), true).await;
    topic.produce_in_transaction((10..20).map(reading), false).await;
    let address = free_address().to_string();
    let _worker = worker(&database, &topic, "1", &address).start();
    let ends: Vec<i64> = topic.watermarks().await.into_iter().map(|(_, end)| end).collect();
    let is_at = |metrics: &str, partition: usize| {
        let of = |name: &str| scrape::value(metrics, &format!("{name}{{partition=\"{partition}\"}}"));
        (
            of("sensorpipe_lag_records"),
            of("sensorpipe_lag_seconds"),
            of("sensorpipe_event_lag_seconds"),
            of("sensorpipe_stored_offset"),
        )
    };
    let done = (Some(0.0), Some(0.0), Some(0.0));
    says(&address, "no lag behind control records", |metrics| {
        (0..2).all(|partition| {
            let (records, seconds, event_seconds, stored) = is_at(metrics, partition);
            (records, seconds, event_seconds) == done && stored == Some(ends[partition] as f64)
        })
    })
    .await;

    // Nothing can be stored: what waits is counted, and grows older.
    let lock = database.hold("SELECT FROM ingest_offsets FOR UPDATE").await;
    topic.produce((20..120).map(reading)).await;
    says(&address, "a hundred records behind", |metrics| {
        scrape::sum(metrics, "sensorpipe_lag_records") == 100.0
            && scrape::sum(metrics, "sensorpipe_in_flight_readings") == 100.0
            && (0..2).all(|partition| {
                let (_, seconds, event_seconds, _) = is_at(metrics, partition);
                // These readings are of 2024.
                seconds.is_some_and(|seconds| (1.0..600.0).contains(&seconds))
                    && event_seconds > Some(31_536_000.0)
            })
    })
    .await;
    drop(lock);
    says(&address, "no lag again", |metrics| {
        scrape::sum(metrics, "sensorpipe_in_flight_readings") == 0.0
            && (0..2).all(|partition| matches!(is_at(metrics, partition), (records, seconds, event, _) if (records, seconds, event) == done))
    })
    .await;
    let metrics = scrape::metrics(&address).await;
    assert_eq!(scrape::value(&metrics, r#"sensorpipe_readings_total{fate="stored"}"#), Some(110.0));
    for phase in ["fetch", "decode", "wait", "prepare", "copy", "commit"] {
        let count = format!("sensorpipe_batch_phase_duration_seconds_count{{phase=\"{phase}\"}}");
        let batches = scrape::value(&metrics, &count);
        assert!(batches > Some(0.0), "{count}: {batches:?}");
    }
}

#[tokio::test]
async fn a_partition_that_stands_still_is_behind() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(2));
    database.add_sensors(1).await;
    topic.produce((0..40).map(reading)).await;
    let first = free_address().to_string();
    let mut worker = worker(&database, &topic, "1", &first).start();
    database.stores_all_of(&topic, PATIENCE).await;
    worker.terminate();
    assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    topic.produce((40..60).map(reading)).await;
    topic.delete_before(&[(0, 25)]).await;
    let address = free_address().to_string();
    let _worker = crate::worker(&database, &topic, "1", &address).start();
    says(&address, "one partition standing still, the other done", |metrics| {
        scrape::value(metrics, r#"sensorpipe_stalled_partitions{gap="records_expired"}"#) == Some(1.0)
            && scrape::value(metrics, r#"sensorpipe_lag_records{partition="0"}"#) == Some(10.0)
            && scrape::value(metrics, r#"sensorpipe_lag_seconds{partition="0"}"#) > Some(1.0)
            && scrape::value(metrics, r#"sensorpipe_lag_records{partition="1"}"#) == Some(0.0)
    })
    .await;
    // Nobody fetches it, and its end is known all the same.
    topic.produce((60..70).map(reading)).await;
    says(&address, "the other's new records", |metrics| {
        scrape::value(metrics, r#"sensorpipe_lag_records{partition="0"}"#) == Some(15.0)
    })
    .await;
}
