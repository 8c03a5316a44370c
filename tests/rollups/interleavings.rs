//! The moments that matter, one by one: a writer or a filler is held where it is, and the other one comes.

use std::sync::Arc;

use sensorpipe::{config::Rollups, reading::OnDuplicate};
use testbed::comes_to;

use crate::{
    PATIENCE,
    bench::{Bench, at},
};

/// Yesterday has a reading, and nothing is kept.
async fn bench() -> Arc<Bench> {
    let bench = Bench::new(1).await;
    let mut writer = bench.writer(0, OnDuplicate::Ignore, Rollups::On).await;
    writer.write(&[(1, at(1, 60), 10.0)]).await;
    Arc::new(bench)
}

/// What a filler would keep while a writer is between its DELETE and its COMMIT is wrong from that COMMIT on.
#[tokio::test]
async fn nothing_is_kept_of_a_day_that_is_being_written() {
    let bench = bench().await;
    // A reading of an unknown sensor makes the writer wait at the very end of its transaction.
    let held = bench.database.hold("LOCK TABLE dead_letters IN SHARE MODE").await;
    let mut writer = bench.writer(1, OnDuplicate::Ignore, Rollups::On).await;
    let writing = tokio::spawn(async move {
        writer.write(&[(1, at(1, 120), 20.0), (9, at(1, 120), 0.0)]).await;
    });
    comes_to("writers held", PATIENCE, 1, async || bench.database.waiting_for_locks().await).await;

    let days = bench.daily_avg(1).await;
    assert_eq!((days.len(), days[0].reading_count), (1, 1), "what is not committed is not told");
    assert_eq!(bench.kept().await, 0, "a day is kept that is about to change");

    drop(held);
    writing.await.unwrap();
    bench.agrees("after the commit").await;
    assert_eq!(bench.daily_avg(1).await[0].reading_count, 2);
    assert_eq!(bench.kept().await, 1);
}

/// A filler that was there first: the writer waits for it, and deletes what it has kept.
#[tokio::test]
async fn a_writer_waits_for_whoever_is_keeping_its_day() {
    let bench = bench().await;
    let held = bench.database.hold("LOCK TABLE daily_stats IN SHARE MODE").await;
    let reader = Arc::clone(&bench);
    let reading = tokio::spawn(async move { reader.daily_avg(1).await });
    comes_to("fillers held", PATIENCE, 1, async || bench.database.waiting_for_locks().await).await;

    let mut writer = bench.writer(1, OnDuplicate::Ignore, Rollups::On).await;
    let writing = tokio::spawn(async move { writer.write(&[(1, at(1, 120), 20.0)]).await });
    comes_to("both held", PATIENCE, 2, async || bench.database.waiting_for_locks().await).await;
    assert_eq!(bench.database.row_count().await, 1);

    drop(held);
    writing.await.unwrap();
    reading.await.unwrap();
    bench.agrees("after both").await;
    assert_eq!(bench.daily_avg(1).await[0].reading_count, 2);
}

/// The sensor is locked before the day, and never waited for under the day's lock.
#[tokio::test]
async fn a_sensor_that_is_being_deleted_is_left_alone() {
    let bench = bench().await;
    let deleting = bench.database.hold("SELECT FROM sensors WHERE sensor_id = 1 FOR UPDATE").await;
    assert_eq!(bench.daily_avg(1).await.len(), 1);
    assert_eq!(bench.kept().await, 0);
    drop(deleting);
    bench.agrees("afterwards").await;
    assert_eq!(bench.kept().await, 1);

    bench.database.execute("DELETE FROM sensor_data; DELETE FROM sensors").await;
    assert_eq!(bench.kept().await, 0, "a sensor's statistics go with it");
}

/// The switch for comparisons: nothing is kept, nothing that is kept is used.
#[tokio::test]
async fn switched_off() {
    let bench = bench().await;
    sensorpipe::store::stats::daily_avg(&bench.pool, None, 1).await.unwrap();
    assert_eq!(bench.kept().await, 0);
    bench.daily_avg(1).await;
    assert_eq!(bench.kept().await, 1);
    let mut writer = bench.writer(1, OnDuplicate::Ignore, Rollups::Off).await;
    writer.write(&[(1, at(1, 120), 20.0)]).await;
    assert_eq!(
        (bench.kept().await, bench.wrong().await),
        (1, 1),
        "a writer that is switched off forgets nothing"
    );
    let days = sensorpipe::store::stats::daily_avg(&bench.pool, None, 1).await.unwrap();
    bench.is_the_guides_answer(1, &days, "switched off").await;
}
