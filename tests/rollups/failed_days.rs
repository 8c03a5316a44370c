//! A day of one sensor that cannot be kept stops nobody else's.

use sensorpipe::{
    config::RetentionStats,
    store::{
        drop_expired,
        stats::{Reach, roll_up_quarter_hours, sweep},
    },
};
use testbed::{Role, TestTopic, comes_to, eventually};

use crate::{
    PATIENCE,
    bench::{Bench, at, today},
};

/// Readings of three sensors on each of the last 30 days, and a trigger of somebody's that refuses what would be kept of
/// sensor 2 on this day.
async fn refusing(days_ago: u64) -> Bench {
    let bench = Bench::new(3).await;
    bench
        .database
        .execute(&format!(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT sensor, sensor, day + interval '1 hour'
             FROM generate_series(1, 3) AS sensor,
                  generate_series('{}'::timestamptz, '{}'::timestamptz, interval '24 hours') AS day",
            at(30, 0),
            at(1, 0)
        ))
        .await;
    let day = at(days_ago, 0).to_datetime().unwrap().date_naive();
    bench
        .database
        .execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this day'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON daily_stats FOR EACH ROW
             WHEN (NEW.sensor_id = 2 AND NEW.day = '{day}') EXECUTE FUNCTION refuse()"
        ))
        .await;
    bench
}

async fn oldest_chunk_is_of(bench: &Bench, days_ago: u64) {
    let of_day = format!(
        "SELECT count(*) FROM (SELECT min(time) AS oldest FROM sensor_data) AS all_readings
         WHERE oldest > '{}'::timestamptz - interval '7 days' AND oldest <= '{}'",
        at(days_ago, 0),
        at(days_ago, 3_600)
    );
    assert_eq!(bench.database.number(&of_day).await, 1, "its chunk is the oldest one");
}

#[tokio::test]
async fn retention_keeps_back_its_chunk_and_no_other() {
    let bench = refusing(20).await;
    let retention = async || drop_expired(&bench.database.config(), at(3, 0), RetentionStats::Keep).await;
    let expiry = retention().await;
    assert!(expiry.error.is_none(), "{:?}", expiry.error);
    assert_eq!(expiry.held.len(), 1);
    let held = &expiry.held[0];
    assert!(held.since <= at(20, 0).to_datetime().unwrap() && at(20, 0).to_datetime().unwrap() < held.until);
    assert!(expiry.dropped.iter().any(|chunk| chunk.until <= held.since), "older ones go");
    assert!(expiry.dropped.iter().any(|chunk| chunk.since >= held.until), "younger ones go");
    let day = at(20, 0).to_datetime().unwrap().date_naive();
    let said = expiry.failed.any().unwrap().to_string();
    assert_eq!(said, format!("sensor 2, day {day}: keeping daily statistics failed: not this day"));
    oldest_chunk_is_of(&bench, 20).await;
    assert_eq!(retention().await.dropped, []);

    bench.database.execute("DROP TRIGGER refuse ON daily_stats").await;
    let expiry = retention().await;
    assert_eq!((expiry.dropped.len(), expiry.held.len()), (1, 0));
    assert_eq!(bench.database.number("SELECT count(*) FROM daily_stats WHERE reading_count <> 1").await, 0);
    let finals = bench.database.number("SELECT count(*) FROM daily_stats WHERE is_final").await;
    let days_gone = 30 - bench.database.number("SELECT count(DISTINCT time::date) FROM sensor_data").await;
    assert!(finals >= 3 * days_gone && days_gone >= 21, "{finals} rows of {days_gone} days");
}

#[tokio::test]
async fn a_chunk_that_postgres_will_not_drop_stays_alone() {
    let bench = refusing(20).await;
    bench.database.execute("DROP TRIGGER refuse ON daily_stats").await;
    let chunk: String = sqlx::query_scalar(
        "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks
         WHERE hypertable_name = 'sensor_data' ORDER BY range_start LIMIT 1",
    )
    .fetch_one(&bench.database.pool)
    .await
    .unwrap();
    bench.database.execute(&format!("CREATE VIEW somebodys AS SELECT * FROM {chunk}")).await;
    for stats in [RetentionStats::Keep, RetentionStats::Drop] {
        let expiry = drop_expired(&bench.database.config(), at(3, 0), stats).await;
        let error = expiry.error.expect("a view hangs on the chunk");
        assert!(!error.is_missing_right() && error.cause().contains("depend"), "{}", error.cause());
        assert_eq!(expiry.dropped.is_empty(), stats == RetentionStats::Drop, "the others go the first time");
    }
    bench.database.execute("DROP VIEW somebodys").await;
    let expiry = drop_expired(&bench.database.config(), at(3, 0), RetentionStats::Keep).await;
    assert_eq!(expiry.dropped.len(), 1);
}

#[tokio::test]
async fn a_sweep_goes_on() {
    let bench = refusing(3).await;
    let swept = sweep(&bench.database.config(), Reach::All).await.unwrap();
    assert_eq!(swept.kept, 89);
    let day = at(3, 0).to_datetime().unwrap().date_naive();
    let said = swept.failed.any().unwrap().to_string();
    assert!(said.starts_with(&format!("sensor 2, day {day}: ")) && said.ends_with("not this day"), "{said}");
    assert_eq!(bench.kept_quarter_hours().await, 89);
}

#[tokio::test]
async fn a_rebuild_does_all_others_and_says_which_failed() {
    let bench = refusing(3).await;
    bench.database.execute("ALTER TABLE daily_stats DISABLE TRIGGER refuse").await;
    assert_eq!(sweep(&bench.database.config(), Reach::All).await.unwrap().kept, 90);
    bench.database.execute("ALTER TABLE daily_stats ENABLE TRIGGER refuse").await;
    let mut process = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["stats", "rebuild"])
        .database(&bench.database)
        .env("RUST_BACKTRACE", "1")
        .start();
    let status = process.ended(PATIENCE).await;
    let day = at(3, 0).to_datetime().unwrap().date_naive();
    assert_eq!(status.code(), Some(1));
    assert_eq!(process.stdout(), "90 daily statistics deleted, 89 computed again\n");
    assert_eq!(
        process.stderr(),
        format!(
            "Error: not rebuilt, all other days are: sensor 2, day {day}: keeping daily statistics failed: not this day\n"
        )
    );
    assert_eq!(bench.kept_quarter_hours().await, 89);
}

/// The request that meets it computes it, and keeps the other days.
#[tokio::test]
async fn a_day_that_cannot_be_kept_is_told_all_the_same() {
    let bench = refusing(1).await;
    for _ in 0..2 {
        let days = bench.daily_avg(2).await;
        assert_eq!((days.len(), (today() - days[0].day).num_days()), (7, 1));
        assert_eq!(bench.kept().await, 6);
    }
}

#[tokio::test]
async fn a_worker_names_it_once_a_round_and_does_not_blame_its_role() {
    let bench = refusing(20).await;
    bench.database.set("retention", "3days").await;
    let topic = TestTopic::create(1).await;
    let worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&bench.database)
        .topic(&topic)
        .env("SENSORPIPE_TEST_RETENTION_INTERVAL", "200ms")
        .env("SENSORPIPE_TEST_ROLLUP_INTERVAL", "1h")
        .start();
    let day = at(20, 0).to_datetime().unwrap().date_naive();
    let line = format!("sensor 2, day {day}: keeping daily statistics failed: not this day");
    eventually(PATIENCE, async || worker.stderr().matches(&line).count() >= 2).await;
    let said = worker.stderr();
    assert!(said.contains("old readings not dropped: 1 chunks hold days"), "{said}");
    assert!(!said.contains("must own sensor_data"), "{said}");
    assert!(said.matches("old readings dropped").count() >= 3, "{said}");
    comes_to("readings of its chunk", PATIENCE, 1, async || {
        bench
            .database
            .number(&format!(
                "SELECT count(*) FROM sensor_data WHERE sensor_id = 2 AND time = '{}'",
                at(20, 3_600)
            ))
            .await
    })
    .await;
    worker.terminate();
}

/// Years that only others' SQL can store.
#[tokio::test]
async fn days_before_the_year_1_and_after_9999_are_kept_as_any_other() {
    let bench = Bench::new(1).await;
    for time in ["0044-03-15 12:00+00 BC", "0001-01-01 00:00+00", "12000-01-01 10:00+00"] {
        let insert = format!(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, 1.7e308, '{time}'::timestamptz + n * interval '1 minute' FROM generate_series(0, 1) AS n"
        );
        bench.database.execute(&insert).await;
    }
    let days = bench.daily_avg(1).await;
    assert_eq!(days.len(), 3);
    assert!(
        days.iter().all(|day| day.avg_value.to_bits() == 1.7e308_f64.to_bits() && day.reading_count == 2),
        "{days:?}"
    );
    for day in &days {
        roll_up_quarter_hours(&bench.pool, 1, day.day).await.unwrap();
    }
    assert_eq!((bench.kept().await, bench.kept_quarter_hours().await), (3, 3));
    assert_eq!(bench.daily_avg(1).await, days);
    let expiry = drop_expired(&bench.database.config(), at(1, 0), RetentionStats::Keep).await;
    assert!(expiry.error.is_none() && expiry.failed.any().is_none(), "{:?}", expiry.error);
    assert_eq!(expiry.dropped.len(), 2);
    assert_eq!(bench.daily_avg(1).await, days);
}

#[tokio::test]
async fn a_worker_whose_role_owns_nothing_says_so() {
    let bench = refusing(20).await;
    bench.database.execute("DROP TRIGGER refuse ON daily_stats").await;
    bench.database.set("retention", "3days").await;
    let topic = TestTopic::create(1).await;
    let worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&bench.database)
        .topic(&topic)
        .env("DATABASE_URL", &bench.database.url_of_role_that_only_writes().await)
        .env("SENSORPIPE_TEST_RETENTION_INTERVAL", "200ms")
        .start();
    eventually(PATIENCE, async || worker.stderr().contains("must own sensor_data")).await;
    assert!(!worker.stderr().contains("whose statistics cannot be kept"), "{}", worker.stderr());
    worker.terminate();
}
