//! A producer whose readings can all not be stored, and fewer dead letters kept than that.

use testbed::{Tally, comes_to};

use crate::site::{PATIENCE, Site, reading};

/// Of each kind in each of two partitions.
const READINGS: i64 = 4_000;
const LETTERS_MAX: i64 = 1_500;
const BATCH: i64 = 1_000;
/// A batch of each of two consumers, which do not see what the other has not committed.
const OVERSHOOT: i64 = 2 * BATCH;

#[tokio::test]
async fn what_is_beyond_the_bound_is_accounted_for_and_can_be_read_again() {
    let site = Site::new(2, 1).await;
    // Good readings of sensor 1 between those of a sensor that there is not.
    let records = (0..2 * READINGS).flat_map(|n| {
        let partition = (n % 2) as i32;
        [reading(1, 1.0, n).partition(partition), reading(2, 1.0, n).partition(partition)]
    });
    site.topic.produce(records.collect::<Vec<_>>()).await;
    let worker = site
        .worker()
        .env("DEAD_LETTER_MAX", &LETTERS_MAX.to_string())
        .env("SENSORPIPE_TEST_BATCH_MAX_READINGS", &BATCH.to_string())
        .start();
    site.stop_when_stored(worker).await;
    let refused = 2 * READINGS;
    assert_eq!(
        site.database.tally().await,
        Tally { stored: 2 * READINGS, duplicates: 0, dead_lettered: refused },
        "all are counted"
    );
    let kept = site.database.number("SELECT count(*) FROM dead_letters").await;
    assert!((LETTERS_MAX..LETTERS_MAX + OVERSHOOT).contains(&kept), "{kept} letters are kept");
    let not_kept = async || {
        site.database.number("SELECT coalesce(sum(letters), 0)::bigint FROM dead_letter_overflow").await
    };
    assert_eq!(not_kept().await, refused - kept);
    let removed = "SELECT sum(letters)::bigint FROM dead_letter_overflow_totals";
    assert_eq!(site.database.number(removed).await, refused - kept);
    // The log ends with a refused reading, so does each range.
    let ranges = "SELECT count(*) FROM dead_letter_overflow AS range
                  JOIN ingest_offsets AS books USING (topic, topic_id, partition)
                  WHERE reason = 'unknown_sensor' AND last_offset = next_offset - 1";
    assert_eq!(site.database.number(ranges).await, 2);
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.notes(), ["letters_not_kept", "letters_not_kept"]);

    // One that is gone is seen beside them.
    let one = "DELETE FROM sensor_data WHERE time = '2024-01-01T00:00:00Z'";
    site.database.execute(one).await;
    site.differs(&[], &["rows_missing", "unaccounted"]).await;
    site.database.execute("INSERT INTO sensor_data VALUES (1, 1, '2024-01-01T00:00:00Z')").await;

    // The cause is mended, and the log is read again from where dead letters were not kept.
    site.database.add_sensors(1).await;
    for partition in 0..2 {
        let first = site
            .database
            .number(&format!(
                "SELECT min(first_offset) FROM dead_letter_overflow WHERE partition = {partition}"
            ))
            .await;
        let (first, partition) = (first.to_string(), partition.to_string());
        let mut replay = site.role(&["replay", "--from", &first, "--partition", &partition, "--yes"]).start();
        assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    }
    assert_eq!(not_kept().await, 0, "what is read again is counted again");
    let worker = site.worker().start();
    site.stop_when_stored(worker).await;
    let mut replay = site.role(&["dead-letters", "replay", "--all"]).start();
    assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    comes_to("rows", PATIENCE, 4 * READINGS, async || site.database.row_count().await).await;
    site.is_clean(&[]).await;
}
