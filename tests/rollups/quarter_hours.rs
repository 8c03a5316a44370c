//! Charts are drawn from kept quarter-hours, which are as true as the days that they are of.

use std::sync::Arc;

use sensorpipe::{
    config::{RebuildConfig, RetentionStats, Rollups},
    reading::OnDuplicate,
    store::{
        drop_expired,
        queries::Source,
        stats::{Reach, StatsStore, roll_up_quarter_hours, sweep},
    },
};
use testbed::{Role, TestTopic, comes_to, config};

use crate::{
    PATIENCE,
    bench::{Bench, Reading, at, today},
};

const DAYS: u64 = 12;
const SPIKE: f64 = 1e6;

/// Readings every five minutes of some days that are over, a single one of them far off, and one of today.
async fn twelve_days() -> Arc<Bench> {
    let bench = Bench::new(1).await;
    let mut writer = bench.writer(0, OnDuplicate::Ignore, Rollups::On).await;
    for days_ago in 1..=DAYS {
        let value = |second: i64| if (days_ago, second) == (9, 30_000) { SPIKE } else { second as f64 };
        let readings: Vec<Reading> = (0..288).map(|n| (1, at(days_ago, n * 300), value(n * 300))).collect();
        writer.write(&readings).await;
    }
    writer.write(&[(1, at(0, 1), -5.0)]).await;
    Arc::new(bench)
}

async fn keep_all(bench: &Bench) {
    for days_ago in 1..=DAYS {
        let day = at(days_ago, 0).to_datetime().unwrap().date_naive();
        roll_up_quarter_hours(&bench.pool, 1, day).await.unwrap();
    }
}

#[tokio::test]
async fn a_chart_is_the_same_from_what_is_kept() {
    let bench = twelve_days().await;
    let cold = bench.chart(1, DAYS, 500).await;
    assert_eq!((cold.source, cold.missing.len()), (Source::QuarterHours, 1));
    let (first, last) = cold.missing[0];
    assert_eq!((today() - first).num_days(), 12);
    assert_eq!((today() - last).num_days(), 3, "the newest two are read");
    assert_eq!((today() - cold.to_keep[0].1).num_days(), 1);

    keep_all(&bench).await;
    for (width, source) in [(1_200, Source::QuarterHours), (100, Source::QuarterHours), (3, Source::Days)] {
        let chart = bench.chart(1, DAYS, width).await;
        assert_eq!((chart.source, &chart.missing, &chart.to_keep), (source, &vec![], &vec![]));
        let max = chart.points.iter().map(|(_, point)| point.max).max_by(f64::total_cmp);
        assert_eq!(max, Some(SPIKE), "a spike never vanishes");
        bench.is_drawn_right(1, DAYS, width, "all kept").await;
    }
    assert_eq!(bench.kept_quarter_hours().await, 12);
    // A late reading takes its day away, and nothing else; the chart has it at once.
    let mut writer = bench.writer(1, OnDuplicate::Ignore, Rollups::On).await;
    writer.write(&[(1, at(5, 7), -SPIKE)]).await;
    assert_eq!(bench.kept_quarter_hours().await, 11);
    for width in [1_200, 100, 3] {
        assert!(bench.chart(1, DAYS, width).await.missing.is_empty());
        bench.is_drawn_right(1, DAYS, width, "after a late reading").await;
    }
}

#[tokio::test]
async fn what_workers_of_the_previous_version_keep_has_no_quarter_hours_and_is_drawn_by_the_day() {
    let bench = twelve_days().await;
    keep_all(&bench).await;
    bench.database.execute("UPDATE daily_stats SET quarter_hours = NULL").await;
    let chart = bench.chart(1, DAYS, 100).await;
    let max = chart.points.iter().map(|(_, point)| point.max).max_by(f64::total_cmp);
    assert_eq!((max, chart.missing.len()), (Some(SPIKE), 1));
    keep_all(&bench).await;
    assert!(bench.chart(1, DAYS, 100).await.missing.is_empty());
    let mut stats = StatsStore::connect(&bench.database.config()).await.unwrap();
    stats.rebuild(&config::<RebuildConfig>(&[])).await.unwrap();
    assert_eq!((bench.kept_quarter_hours().await, bench.wrong_quarter_hours().await), (12, 0));
}

/// As for the days themselves: what a filler would keep while a writer is about to commit is wrong from then on.
#[tokio::test]
async fn nothing_is_kept_of_a_day_that_is_being_written() {
    let bench = twelve_days().await;
    let held = bench.database.hold("LOCK TABLE dead_letters IN SHARE MODE").await;
    let mut writer = bench.writer(1, OnDuplicate::Ignore, Rollups::On).await;
    let writing = tokio::spawn(async move {
        writer.write(&[(1, at(1, 120), SPIKE), (9, at(1, 120), 0.0)]).await;
    });
    comes_to("writers held", PATIENCE, 1, async || bench.database.waiting_for_locks().await).await;
    keep_all(&bench).await;
    assert_eq!(bench.kept_quarter_hours().await, 11, "a day is kept that is about to change");
    drop(held);
    writing.await.unwrap();
    keep_all(&bench).await;
    assert_eq!((bench.kept_quarter_hours().await, bench.wrong_quarter_hours().await), (12, 0));
    bench.is_drawn_right(1, DAYS, 100, "after the commit").await;
}

/// A filler that was there first: the writer waits for it, and deletes what it has kept.
#[tokio::test]
async fn a_writer_waits_for_whoever_is_keeping_its_day() {
    let bench = twelve_days().await;
    bench.daily_avg(1).await;
    let held = bench.database.hold("LOCK TABLE daily_stats IN SHARE MODE").await;
    let yesterday = at(1, 0).to_datetime().unwrap().date_naive();
    let pool = bench.pool.clone();
    let keeping = tokio::spawn(async move { roll_up_quarter_hours(&pool, 1, yesterday).await.unwrap() });
    comes_to("fillers held", PATIENCE, 1, async || bench.database.waiting_for_locks().await).await;
    let mut writer = bench.writer(1, OnDuplicate::Ignore, Rollups::On).await;
    let writing = tokio::spawn(async move { writer.write(&[(1, at(1, 120), SPIKE)]).await });
    comes_to("both held", PATIENCE, 2, async || bench.database.waiting_for_locks().await).await;
    drop(held);
    keeping.await.unwrap();
    writing.await.unwrap();
    assert_eq!(
        (bench.kept_quarter_hours().await, bench.wrong_quarter_hours().await),
        (0, 0),
        "it is forgotten"
    );
    bench.is_drawn_right(1, DAYS, 100, "after both").await;
}

#[tokio::test]
async fn what_retention_has_taken_is_drawn_from_what_is_kept() {
    let bench = twelve_days().await;
    keep_all(&bench).await;
    // Chunks of seven days: at least one ends before then, and only days whose chunks are gone are final.
    let dropped = drop_expired(&bench.database.config(), at(0, 0), RetentionStats::Keep).await.dropped;
    assert!(!dropped.is_empty());
    let oldest: i64 =
        bench.database.number("SELECT (extract(epoch FROM min(time)))::bigint FROM sensor_data").await;
    assert!(oldest > at(DAYS, 0).micros() / 1_000_000);
    let chart = bench.chart(1, DAYS, 100).await;
    assert!(chart.missing.is_empty());
    assert_eq!(chart.points.iter().map(|(_, point)| point.count).sum::<i64>(), 288 * 12 + 1);
    // A day whose readings are gone before its quarter-hours were kept is never filled with less.
    bench.database.execute("UPDATE daily_stats SET quarter_hours = NULL").await;
    keep_all(&bench).await;
    let finals = bench.database.number("SELECT count(*) FROM daily_stats WHERE is_final").await;
    assert_eq!(bench.kept_quarter_hours().await, 12 - finals);
    let chart = bench.chart(1, DAYS, 100).await;
    assert_eq!(chart.points.iter().map(|(_, point)| point.count).sum::<i64>(), 288 * 12 + 1);
}

#[tokio::test]
async fn a_sweep_keeps_what_nobody_asked_for() {
    let bench = twelve_days().await;
    bench.database.add_sensors(1).await;
    let database = bench.database.config();
    let others = bench.database.hold("SELECT pg_advisory_xact_lock(126956639449203)").await;
    assert_eq!(sweep(&database, Reach::All).await.unwrap().kept, 0, "one process at a time");
    drop(others);
    comes_to("days swept", PATIENCE, 7, async || sweep(&database, Reach::Week).await.unwrap().kept).await;
    assert_eq!((bench.kept_quarter_hours().await, bench.wrong_quarter_hours().await), (7, 0));
    assert_eq!(sweep(&database, Reach::All).await.unwrap().kept, 5);
    assert_eq!((bench.kept_quarter_hours().await, bench.wrong_quarter_hours().await), (12, 0));
    assert_eq!(
        sweep(&database, Reach::All).await.unwrap().kept,
        0,
        "today is not over, and one sensor has nothing"
    );
    assert!(bench.chart(1, DAYS, 100).await.missing.is_empty());
}

/// The worker does it by itself.
#[tokio::test]
async fn a_worker_sweeps() {
    let bench = twelve_days().await;
    let topic = TestTopic::create(1).await;
    let worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&bench.database)
        .topic(&topic)
        .env("SENSORPIPE_TEST_ROLLUP_INTERVAL", "100ms")
        .start();
    comes_to("days kept", PATIENCE, 12, async || bench.kept_quarter_hours().await).await;
    worker.terminate();
}
