use std::time::Duration;

use reqwest::Client;
use testbed::{Role, TestDatabase, TestTopic, eventually, free_address};

use crate::site::{PATIENCE, Site};

/// Far more than sockets hold on the way.
const MANY: i64 = 400_000;

async fn add_readings(database: &TestDatabase, count: i64) {
    database.add_sensors(2).await;
    database
        .execute(&format!(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, n, '2026-01-01Z'::timestamptz + n * interval '1 second' FROM generate_series(0, {count} - 1) AS n;
             INSERT INTO sensor_data (sensor_id, value, time) VALUES (2, 1, '2026-01-01Z')"
        ))
        .await;
}

/// How many of the api's connections do something, or hold a transaction open.
async fn busy_connections(database: &TestDatabase) -> i64 {
    database
        .number(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'sensorpipe api reads' AND state <> 'idle'",
        )
        .await
}

#[tokio::test]
async fn everything_in_either_order_and_form() {
    let site = Site::start().await;
    // Full pages, and a page and one.
    for (count, limit) in
        [(10_000, ""), (10_000, "&limit=5001"), (10_000, "&limit=5000"), (10_000, "&limit=3")]
    {
        site.database.execute("TRUNCATE sensor_data, sensors, daily_stats RESTART IDENTITY").await;
        add_readings(&site.database, count).await;
        let expected = limit.split('=').nth(1).map_or(count, |limit| limit.parse().unwrap());
        for (order, first, step) in [("asc", 0, 1), ("desc", count - 1, -1)] {
            let path = format!("/sensors/1/readings?order={order}{limit}");
            let csv = site.server.get_as("text/csv", &path).await.expect(200);
            assert!(csv.header("content-type").starts_with("text/csv"));
            assert_eq!(csv.header("vary"), "accept");
            assert!(csv.header("content-disposition").contains("sensor-1.csv"));
            let mut lines = csv.text.lines();
            assert_eq!(lines.next(), Some("sensor_id,timestamp,value"));
            let ndjson = site.server.get_as("application/x-ndjson", &path).await.expect(200);
            assert_eq!(ndjson.header("content-type"), "application/x-ndjson");
            let mut objects = ndjson.text.lines();
            for n in 0..expected {
                let value = first + n * step;
                let mut fields = lines.next().unwrap().split(',');
                let object: serde_json::Value = serde_json::from_str(objects.next().unwrap()).unwrap();
                assert_eq!(fields.next(), Some("1"));
                assert_eq!(object["sensor_id"], 1);
                assert_eq!(fields.next(), object["timestamp"].as_str());
                assert_eq!(fields.next(), Some(format!("{value}.0").as_str()));
                assert_eq!(object["value"], value as f64);
            }
            assert_eq!((lines.next(), objects.next()), (None, None), "{path}");
        }
    }
    let path = "/sensors/1/readings?order=asc&start=2026-01-01T00:00:10&end=2026-01-01T00:00:12";
    let some = site.server.get_as("text/csv", path).await.expect(200);
    assert_eq!(
        some.text,
        "sensor_id,timestamp,value\n1,2026-01-01T00:00:10Z,10.0\n1,2026-01-01T00:00:11Z,11.0\n"
    );
}

#[tokio::test]
async fn a_client_that_stalls_holds_no_connection_and_is_cut_off() {
    let site = Site::start_with(&["--test-exports-max", "1", "--test-export-stall-timeout", "1s"]).await;
    add_readings(&site.database, MANY).await;
    let mut stalled = site.server.open_as("text/csv", "/sensors/1/readings").await;
    assert_eq!(stalled.status(), 200);
    // It has a place, and no other export gets one.
    let answer = site.server.get_as("text/csv", "/sensors/2/readings").await.expect(503);
    assert_eq!(answer.header("retry-after"), "1");
    eventually(PATIENCE, async || busy_connections(&site.database).await == 0).await;
    // Pages of JSON go on meanwhile.
    site.server.get("/sensors/1/readings?limit=1").await.expect(200);
    // Its place is free again without its doing, and what it has got so far does not look complete.
    eventually(PATIENCE, async || site.server.get_as("text/csv", "/sensors/2/readings").await.status == 200)
        .await;
    let error = loop {
        match stalled.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it looks complete"),
            Err(error) => break error,
        }
    };
    assert!(error.is_body() || error.is_decode(), "{error:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let site = Site::start_with(&["--test-exports-max", "1"]).await;
    add_readings(&site.database, MANY).await;
    let mut leaving = site.server.open_as("text/csv", "/sensors/1/readings").await;
    leaving.chunk().await.unwrap().expect("there is more than nothing");
    site.server.get_as("text/csv", "/sensors/2/readings").await.expect(503);
    drop(leaving);
    eventually(PATIENCE, async || site.server.get_as("text/csv", "/sensors/2/readings").await.status == 200)
        .await;
}

#[tokio::test]
async fn an_error_in_the_middle_is_not_taken_for_the_end() {
    let site = Site::start_with(&["--test-exports-max", "1"]).await;
    add_readings(&site.database, MANY).await;
    let mut export = site.server.open_as("application/x-ndjson", "/sensors/1/readings").await;
    assert_eq!(export.status(), 200);
    site.database.execute("ALTER TABLE sensor_data RENAME TO gone").await;
    let mut bytes = 0;
    let ended = loop {
        match export.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => break "complete",
            Err(_) => break "cut off",
        }
    };
    assert_eq!(ended, "cut off", "after {bytes} bytes");
    // An error that shows before anything is answered has its status.
    site.server.get_as("text/csv", "/sensors/1/readings").await.expect(500);
}

#[tokio::test]
async fn a_database_that_restarts_costs_an_export_nothing() {
    let site = Site::start().await;
    add_readings(&site.database, MANY).await;
    let mut export = site.server.open_as("text/csv", "/sensors/1/readings?order=asc").await;
    let (mut text, mut cut) = (Vec::new(), 0);
    while let Some(chunk) = export.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
        if text.len() > cut * 2_000_000 {
            cut += 1;
            // All of the api's connections, as a restart does.
            site.database
                .execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'sensorpipe api reads'",
                )
                .await;
        }
    }
    assert!(cut > 3, "{cut}");
    let lines = String::from_utf8(text).unwrap().lines().count() as i64;
    assert_eq!(lines, MANY + 1);
}

/// The most memory that a process has ever had, in KiB.
fn peak_kib(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn half_a_million_readings_take_no_memory() {
    const COUNT: i64 = 500_000;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    add_readings(&database, COUNT).await;
    let address = free_address().to_string();
    let mut api = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["api"])
        .database(&database)
        .topic(&topic)
        .env("HTTP_ADDR", &address)
        // The allocator takes memory in large pieces otherwise, and touches them before anybody asks for so much.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .start();
    let client = Client::new();
    let get = |accept: &str, query: &str| {
        let url = format!("http://{address}/sensors/1/readings{query}");
        client.get(url).header("accept", accept).timeout(Duration::from_secs(120)).send()
    };
    eventually(PATIENCE, async || get("text/csv", "?limit=20000").await.is_ok()).await;
    let before = peak_kib(api.id());
    for (accept, line_bytes) in [("text/csv", 30), ("application/x-ndjson", 65)] {
        let mut answer = get(accept, "").await.unwrap().error_for_status().unwrap();
        let (mut bytes, mut lines) = (0, 0);
        while let Some(chunk) = answer.chunk().await.unwrap() {
            bytes += chunk.len() as i64;
            lines += chunk.split(|&byte| byte == b'\n').count() as i64 - 1;
        }
        assert_eq!(lines, COUNT + i64::from(accept == "text/csv"));
        assert!(bytes > COUNT * line_bytes, "{bytes}");
    }
    let grown = peak_kib(api.id()) - before;
    println!("the export took {grown} KiB on top of {before} KiB");
    assert!(grown < 16_000, "{grown} KiB, where the answer has more than 30,000");
    let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"sensorpipe_exports_total{outcome="complete"}"#), "{metrics}");
    api.terminate();
    api.ended(PATIENCE).await;
}
