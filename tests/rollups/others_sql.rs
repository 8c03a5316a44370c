//! Readings that others' SQL changes: by a trigger, or told afterwards.

use sensorpipe::{config::Rollups, reading::OnDuplicate};
use sqlx::{Connection, PgConnection};
use testbed::{Record, Role, TestTopic};

use crate::{
    PATIENCE,
    bench::{Bench, at},
};

/// Three days of two sensors, kept.
async fn kept() -> Bench {
    let bench = Bench::new(2).await;
    let mut writer = bench.writer(0, OnDuplicate::Ignore, Rollups::On).await;
    for days_ago in 1..=3 {
        writer.write(&[(1, at(days_ago, 60), 10.0), (2, at(days_ago, 60), 10.0)]).await;
    }
    bench.agrees("written").await;
    assert_eq!(bench.kept().await, 6);
    bench
}

async fn stats(bench: &Bench, args: &[&str]) -> String {
    let mut process = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &[&["stats"], args].concat())
        .database(&bench.database)
        .start();
    let status = process.ended(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{}", process.stderr());
    process.stdout()
}

#[tokio::test]
async fn rebuilt_on_request() {
    let bench = kept().await;
    bench.database.execute("UPDATE sensor_data SET value = 11").await;
    assert_eq!(bench.wrong().await, 6);
    let day_before_yesterday = at(2, 0).to_datetime().unwrap().date_naive().to_string();
    let said = stats(&bench, &["rebuild", "--sensor", "2", "--since", &day_before_yesterday]).await;
    assert_eq!(said, "2 daily statistics deleted, 2 computed again\n");
    assert_eq!(bench.wrong().await, 4);
    bench.database.execute("DELETE FROM sensor_data WHERE sensor_id = 1").await;
    let said = stats(&bench, &["rebuild"]).await;
    assert_eq!(said, "6 daily statistics deleted, 3 computed again\n");
    bench.agrees("rebuilt").await;
}

#[tokio::test]
async fn followed_by_a_trigger() {
    let bench = kept().await;
    let (yesterday, day_before) = (at(1, 120), at(2, 120));
    stats(&bench, &["install-trigger"]).await;
    stats(&bench, &["install-trigger"]).await;
    for (sql, kept_after) in [
        ("UPDATE sensor_data SET value = 11 WHERE sensor_id = 1".to_owned(), 3),
        (format!("DELETE FROM sensor_data WHERE sensor_id = 2 AND time < '{}'", at(2, 0)), 5),
        (format!("INSERT INTO sensor_data VALUES (1, 1, '{yesterday}'), (2, 2, '{yesterday}')"), 3),
        ("TRUNCATE sensor_data".to_owned(), 0),
    ] {
        bench.database.execute(&sql).await;
        assert_eq!(bench.kept().await, kept_after, "{sql}");
        bench.agrees(&sql).await;
    }
    copy(&bench, &format!("1\t1.5\t{yesterday}\n1\t2.5\t{day_before}\n")).await;
    bench.agrees("copied once").await;
    copy(&bench, &format!("1\t3.5\t{}\n", at(1, 180))).await;
    bench.agrees("copied again").await;

    // A snapshot from before the lock would not see what is kept meanwhile.
    let mut connection = PgConnection::connect(&bench.database.url).await.unwrap();
    let refused = sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM sensor_data; COMMIT")
        .execute(&mut connection)
        .await;
    assert!(refused.unwrap_err().to_string().contains("READ COMMITTED"));

    // What is not committed yet keeps its days from being kept.
    bench.database.execute("DELETE FROM daily_stats").await;
    let changing = bench.database.hold("UPDATE sensor_data SET value = 12").await;
    assert_eq!(bench.daily_avg(1).await.len(), 2);
    assert_eq!(bench.kept().await, 0);
    drop(changing);
    bench.agrees("rolled back").await;
    assert_eq!(bench.kept().await, 2);

    stats(&bench, &["remove-trigger"]).await;
    bench.database.execute("DELETE FROM sensor_data").await;
    assert_eq!(bench.wrong().await, 2, "nobody follows any more");
}

async fn copy(bench: &Bench, rows: &str) {
    let mut connection = bench.database.pool.acquire().await.unwrap();
    let mut copy =
        connection.copy_in_raw("COPY sensor_data (sensor_id, value, time) FROM STDIN").await.unwrap();
    copy.send(rows.as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
}

/// The trigger is no reason for a worker to have every row's foreign key checked, and does not run for its rows.
#[tokio::test]
async fn a_worker_is_as_fast_with_the_trigger() {
    let (bench, topic) = (kept().await, TestTopic::create(1).await);
    stats(&bench, &["install-trigger"]).await;
    bench.database.execute("DELETE FROM ingest_offsets").await;
    let late = format!(r#"{{"sensor_id":1,"value":1,"timestamp":"{}"}}"#, at(1, 120));
    topic.produce([Record::new(late)]).await;
    let worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&bench.database)
        .topic(&topic)
        .start();
    bench.database.stores_all_of(&topic, PATIENCE).await;
    assert!(worker.stderr().contains("foreign keys are checked once per batch"), "{}", worker.stderr());
    assert_eq!((bench.kept().await, bench.wrong().await), (5, 0));
    bench.agrees("written by a worker").await;
}
