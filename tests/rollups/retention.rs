//! Old chunks go; what is known of their days stays true.

use sensorpipe::{
    config::{RetentionStats, Rollups, SchemaConfig},
    reading::{OnDuplicate, Timestamp},
    store::{Compression, Pool, compress_after, drop_expired, stats::DayStats},
};
use testbed::{Record, Role, TestDatabase, TestTopic, comes_to, config, eventually, free_address};

use crate::{
    PATIENCE,
    bench::{Bench, Reading, at, today},
};

/// Two sensors, readings at 1:00 and 23:00 of each of the last 20 days, in chunks of so many hours.
async fn twenty_days(chunk_interval: &str) -> Bench {
    let database = TestDatabase::create_empty().await;
    let schema: SchemaConfig = config(&["--chunk-interval", chunk_interval]);
    sensorpipe::store::migrate(&database.config(), &schema).await.unwrap();
    database.add_sensors(3).await;
    let pool = Pool::new(&database.config()).unwrap();
    let bench = Bench { database, pool, sensors: 3 };
    let mut writer = bench.writer(0, OnDuplicate::Ignore, Rollups::On).await;
    for days_ago in 1..=20 {
        let value = days_ago as f64;
        let readings: Vec<Reading> = [1, 2]
            .into_iter()
            .flat_map(|sensor| [(sensor, at(days_ago, 3_600), value), (sensor, at(days_ago, 82_800), -value)])
            .collect();
        writer.write(&readings).await;
    }
    bench
}

async fn drop_older_than(bench: &Bench, days_ago: u64, stats: RetentionStats) -> usize {
    drop_expired(&bench.database.config(), at(days_ago, 0), stats).await.dropped.len()
}

async fn oldest_reading(bench: &Bench) -> Timestamp {
    Timestamp::from_micros(
        bench.database.number("SELECT (extract(epoch FROM min(time)) * 1e6)::bigint FROM sensor_data").await,
    )
}

#[tokio::test]
async fn statistics_stay_where_they_are_to_be_kept() {
    // Borders of chunks run through days.
    let bench = twenty_days("36h").await;
    let before: Vec<DayStats> = all_days(&bench).await;
    assert_eq!(before.len(), 40);
    let readings = bench.database.row_count().await;
    let dropped = drop_older_than(&bench, 6, RetentionStats::Keep).await;
    assert!(dropped >= 8, "{dropped} chunks dropped");
    assert!(bench.database.row_count().await < readings);
    assert!(oldest_reading(&bench).await < at(5, 0), "only whole chunks go");
    assert_eq!(drop_older_than(&bench, 6, RetentionStats::Keep).await, 0);

    let after = all_days(&bench).await;
    assert_eq!(before, after, "a day of which half the readings are gone is told whole");
    assert_eq!(bench.daily_avg(1).await.len(), 7);
    assert_eq!(bench.daily_avg(3).await, []);

    // Such a day is final: neither a rebuild nor a reading that should not come any more changes it.
    let last_final = bench
        .database
        .number("SELECT (current_date - max(day))::bigint FROM daily_stats WHERE is_final")
        .await;
    let mut writer = bench.writer(1, OnDuplicate::Ignore, Rollups::On).await;
    writer.write(&[(1, at(last_final.cast_unsigned(), 7_200), 1e6)]).await;
    let mut stats = sensorpipe::store::stats::StatsStore::connect(&bench.database.config()).await.unwrap();
    stats.rebuild(&config(&[])).await.unwrap();
    assert_eq!(all_days(&bench).await, before);
}

/// Every day of sensors 1 and 2, as it is kept or else as its readings say; the api tells the newest seven so.
async fn all_days(bench: &Bench) -> Vec<DayStats> {
    sqlx::query_as(
        "WITH days AS (
             SELECT sensor_id, time::date AS day FROM sensor_data UNION SELECT sensor_id, day FROM daily_stats)
         SELECT days.day, coalesce(kept.avg_value, r.avg_value) AS avg_value,
                coalesce(kept.min_value, r.min_value) AS min_value, coalesce(kept.max_value, r.max_value) AS max_value,
                coalesce(kept.reading_count, r.reading_count) AS reading_count,
                coalesce(kept.median_value, r.q[2]) AS median_value,
                coalesce(kept.lower_quartile, r.q[1]) AS lower_quartile,
                coalesce(kept.upper_quartile, r.q[3]) AS upper_quartile
         FROM days LEFT JOIN daily_stats AS kept USING (sensor_id, day)
         CROSS JOIN LATERAL (SELECT avg(value) AS avg_value, min(value) AS min_value, max(value) AS max_value,
                 count(*) AS reading_count, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS q
             FROM sensor_data WHERE sensor_id = days.sensor_id AND time::date = days.day) AS r
         ORDER BY sensor_id, day",
    )
    .fetch_all(&bench.database.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn statistics_go_with_the_readings_where_that_is_the_choice() {
    let bench = twenty_days("36h").await;
    bench.agrees("before").await;
    assert!(drop_older_than(&bench, 10, RetentionStats::Keep).await > 0);
    assert!(bench.kept().await > 14);
    assert!(drop_older_than(&bench, 3, RetentionStats::Drop).await > 0);
    // A day that lost half of its readings is what the other half says, as the guide would have it.
    bench.agrees("dropped").await;
    assert_eq!(bench.database.number("SELECT count(*) FROM daily_stats WHERE is_final").await, 0);
    assert!(bench.daily_avg(1).await.len() < 7);
}

#[tokio::test]
async fn one_at_a_time_and_not_while_somebody_writes_there() {
    let bench = twenty_days("7days").await;
    let held = bench.database.hold("SELECT pg_advisory_xact_lock(x'657870697265'::bigint)").await;
    assert_eq!(drop_older_than(&bench, 1, RetentionStats::Keep).await, 0, "another worker is at it");
    drop(held);
    // A transaction that writes readings has locked its sensors.
    let writing = bench.database.hold("SELECT FROM sensors WHERE sensor_id = 1 FOR KEY SHARE").await;
    let expiry = drop_expired(&bench.database.config(), at(1, 0), RetentionStats::Drop).await;
    let refused = expiry.error.unwrap();
    assert!(refused.is_retriable(), "{refused}: {}", refused.cause());
    drop(writing);
    assert!(drop_older_than(&bench, 1, RetentionStats::Drop).await >= 1);
    bench.agrees("dropped").await;
}

#[tokio::test]
async fn a_worker_drops_and_refuses_what_is_too_old() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let insert = |days_ago| format!("INSERT INTO sensor_data VALUES (1, {days_ago}, '{}')", at(days_ago, 60));
    for days_ago in [40, 30, 1] {
        database.execute(&insert(days_ago)).await;
    }
    let record = |time: Timestamp| {
        Record::new(format!(r#"{{"sensor_id":1,"value":1,"timestamp":"{time}"}}"#)).key("1")
    };
    // The edge is a midnight; the second before it is too old.
    topic.produce([record(at(10, -1)), record(at(10, 0))]).await;
    database.set("retention", "10days").await;
    let worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "2"])
        .database(&database)
        .topic(&topic)
        .env("SENSORPIPE_TEST_RETENTION_INTERVAL", "100ms")
        .start();
    database.stores_all_of(&topic, PATIENCE).await;
    comes_to("readings left", PATIENCE, 2, async || database.row_count().await).await;
    let reasons: Vec<String> =
        database.dead_letters().await.into_iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, ["time_out_of_window"]);
    eventually(PATIENCE, async || worker.stderr().matches("old readings dropped").count() == 2).await;
    let days = sensorpipe::store::stats::daily_avg(
        &Pool::new(&database.config()).unwrap(),
        Some(&Pool::new(&database.config()).unwrap()),
        1,
    )
    .await
    .unwrap();
    let counts: Vec<_> = days.iter().map(|day| ((today() - day.day).num_days(), day.reading_count)).collect();
    assert_eq!(counts, [(1, 1), (10, 1), (30, 1), (40, 1)]);
    // It goes on looking.
    database.execute(&insert(50)).await;
    comes_to("readings left", PATIENCE, 2, async || database.row_count().await).await;
    worker.terminate();
}

#[tokio::test]
async fn a_worker_drops_nothing_that_is_to_stay_by_now() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    database.set("retention", "10days").await;
    let address = free_address().to_string();
    let _worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&database)
        .topic(&topic)
        .env("SENSORPIPE_TEST_RETENTION_INTERVAL", "100ms")
        .env("METRICS_ADDR", &address)
        .start();
    let rounds = async || {
        let answer = reqwest::get(format!("http://{address}/metrics")).await.ok()?.text().await.ok()?;
        let series = r#"sensorpipe_job_rounds_total{job_name="retention",outcome="succeeded"} "#;
        answer.lines().find_map(|line| line.strip_prefix(series)?.parse::<u64>().ok())
    };
    // The one under way has read the settings already.
    let two_more_rounds = async || {
        let begun = rounds().await.unwrap_or_default();
        eventually(PATIENCE, async || rounds().await.is_some_and(|rounds| rounds >= begun + 2)).await;
    };
    for (change, left) in [
        ("DELETE FROM sensorpipe_settings", 2),
        ("INSERT INTO sensorpipe_settings (name, value, set_by) VALUES ('retention', '60days', 'x')", 1),
        ("UPDATE sensorpipe_settings SET value = '5days'", 0),
    ] {
        two_more_rounds().await;
        database.execute(change).await;
        two_more_rounds().await;
        for days_ago in [50, 80] {
            let reading = format!("INSERT INTO sensor_data VALUES (1, 1, '{}')", at(days_ago, 60));
            database.execute(&format!("{reading} ON CONFLICT DO NOTHING")).await;
        }
        two_more_rounds().await;
        comes_to(change, PATIENCE, left, async || database.row_count().await).await;
    }
}

/// What can be compressed is what the edition can; the Apache edition, which tests run on, says so and goes on.
#[tokio::test]
async fn compression_is_what_the_edition_can() {
    let bench = twenty_days("7days").await;
    let license: String =
        sqlx::query_scalar("SHOW timescaledb.license").fetch_one(&bench.database.pool).await.unwrap();
    let expected =
        if license == "timescale" { Compression::Scheduled } else { Compression::NotInThisEdition };
    for days in [30, 60] {
        let after = std::time::Duration::from_secs(days * 86_400);
        assert_eq!(compress_after(&bench.database.config(), after).await.unwrap(), expected);
    }
    let jobs = "SELECT count(*) FROM timescaledb_information.jobs WHERE hypertable_name = 'sensor_data'";
    assert_eq!(bench.database.number(jobs).await, i64::from(expected == Compression::Scheduled));
    bench.agrees("afterwards").await;
}
