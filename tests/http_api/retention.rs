//! Reading goes on while retention drops chunks.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::{NaiveTime, TimeDelta, Utc};
use sensorpipe::{config::RetentionStats, reading::Timestamp, store::drop_expired};
use testbed::{TestDatabase, eventually};

use crate::site::{PATIENCE, Site};

const SENSORS: i32 = 20;
const DAYS: i64 = 80;

/// Every way to readings that goes over many chunks, and the sensors, which retention locks.
fn paths() -> Vec<String> {
    let since = (Utc::now() - TimeDelta::days(DAYS)).format("%Y-%m-%d");
    let range = format!("start={since}&bucket=1d");
    vec![
        "/daily_avg/1".to_owned(),
        format!("/sensors/2/stats?{range}&measures=avg,median"),
        format!("/sensors/2/stats?{range}&measures=count,last"),
        format!("/sensors/stats?{range}&ids=1,2,3,4,5,6,7,8&group=all&measures=avg"),
        format!("/sensors/stats?{range}&ids=1,2,3,4,5,6,7,8,9,10&group=sensor&measures=avg"),
        format!("/sensors/3/chart?start={since}&width=100"),
        "/sensors/4/chart?width=8".to_owned(),
        format!("/sensors/5/readings?order=asc&start={since}"),
        format!("/sensors/5/readings?start={since}&limit=100"),
        "/sensors/7/readings/events".to_owned(),
        "/sensors/1/latest".to_owned(),
        "/sensors/latest?ids=1,2,3".to_owned(),
        "/sensors/6".to_owned(),
        "/sensors?limit=5".to_owned(),
    ]
}

async fn fill(database: &TestDatabase) {
    database
        .execute(&format!(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT sensor, 1, time
             FROM generate_series(1, {SENSORS}) AS sensor,
                  generate_series(now() - interval '{DAYS} days', now(), '6 hours') AS time
             ON CONFLICT DO NOTHING"
        ))
        .await;
}

async fn deadlocks(database: &TestDatabase) -> i64 {
    database.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

/// Of readings in order an export, whose first page comes before its status; of events their first piece.
async fn ask(site: &Site, path: &str) -> (u16, String) {
    if path.ends_with("/events") {
        let mut stream = site.server.open(path, |request| request).await;
        let status = stream.status().as_u16();
        let piece = stream.chunk().await.unwrap_or_default().unwrap_or_default();
        return (status, String::from_utf8_lossy(&piece).into_owned());
    }
    let format = if path.contains("order=asc") { "text/csv" } else { "application/json" };
    let answer = site.server.get_as(format, path).await;
    (answer.status.as_u16(), answer.text)
}

#[tokio::test]
async fn readers_do_not_see_it() {
    let site = Arc::new(Site::start().await);
    site.database.add_sensors(SENSORS).await;
    site.database.execute("SELECT set_chunk_time_interval('sensor_data', interval '1 day')").await;
    fill(&site.database).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = paths().into_iter().map(|path| {
        let (site, stop) = (Arc::clone(&site), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut requests = 0;
            while !stop.load(Ordering::Relaxed) {
                let (status, text) = ask(&site, &path).await;
                assert_eq!(status, 200, "{path}, request {requests}: {text}");
                requests += 1;
            }
            requests
        })
    });
    let readers: Vec<_> = readers.collect();
    // Until a reader and retention have met.
    eventually(PATIENCE * 6, async || {
        let midnight = (Utc::now() - TimeDelta::days(3)).date_naive().and_time(NaiveTime::MIN).and_utc();
        let edge = Timestamp::from_micros(midnight.timestamp_micros());
        let expiry = drop_expired(&site.database.config(), edge, RetentionStats::Drop).await;
        assert!(
            expiry.error.as_ref().is_none_or(sensorpipe::store::StoreError::is_retriable),
            "{:?}",
            expiry.error
        );
        fill(&site.database).await;
        deadlocks(&site.database).await > 0 || readers.iter().any(tokio::task::JoinHandle::is_finished)
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    println!("{} deadlocks", deadlocks(&site.database).await);
}
