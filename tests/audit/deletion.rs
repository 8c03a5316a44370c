//! A large sensor that is deleted while a worker stores the readings of others.

use std::time::{Duration, Instant};

use sensorpipe::store::{
    Pool,
    sensors::{self, Deletion, ReadingsOf},
};
use testbed::{Readings, Sensorpipe, comes_to, eventually};

use crate::site::{PATIENCE, Site, reading};

/// Readings of the large sensor, over twenty weeks and chunks.
const READINGS: i64 = 300_000;
const LARGE: Readings = Readings { first_sensor: 1, sensors: 1, per_record: 1_000, step_ms: 40_000 };
/// Longest time from Kafka to the table that a reading of another sensor may take.
const HELD_UP_MAX: Duration = Duration::from_secs(1);

impl Site {
    fn deleting_worker(&self) -> Sensorpipe {
        self.worker().env("SENSORPIPE_TEST_SENSOR_DELETION_INTERVAL", "100ms").start()
    }

    async fn deleted(&self) -> i64 {
        self.database.number("SELECT coalesce(sum(readings), 0)::bigint FROM removed_sensors").await
    }

    /// Sends readings of sensor 2 one by one until `is_over`; the longest time until one was stored.
    async fn slowest_until(&self, next: &mut i64, is_over: impl AsyncFn() -> bool) -> Duration {
        let mut slowest = Duration::ZERO;
        while !is_over().await {
            self.topic.produce([reading(2, 1.0, *next)]).await;
            *next += 1;
            let stored = "SELECT count(*) FROM sensor_data WHERE sensor_id = 2";
            let started = Instant::now();
            while self.database.number(stored).await < *next {
                assert!(started.elapsed() < PATIENCE, "reading {next} is not stored");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            slowest = slowest.max(started.elapsed());
        }
        slowest
    }
}

#[tokio::test]
async fn a_large_sensor_goes_while_others_are_stored_and_workers_die() {
    let site = Site::new(2, 2).await;
    site.topic.produce(LARGE.records(0..READINGS / LARGE.per_record)).await;
    let mut worker = site.deleting_worker();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let mut next = 0;
    let of_other = "SELECT count(*) FROM sensor_data WHERE sensor_id = 2";
    let usual = site.slowest_until(&mut next, async || site.database.number(of_other).await >= 20).await;

    let pool = Pool::new(&site.database.config()).unwrap();
    let marked = sensors::delete(&pool, 1, ReadingsOf::Delete).await.unwrap();
    assert_eq!(marked, Deletion::Marked);
    let mut slowest = site.slowest_until(&mut next, async || site.deleted().await > 0).await;
    worker.kill();
    let before = site.deleted().await;
    assert!((1..READINGS).contains(&before), "{before} readings deleted when the worker died");
    site.is_clean(&[]).await;

    let worker = site.deleting_worker();
    // It has its partitions once the first reading is stored.
    site.topic.produce([reading(2, 1.0, next), reading(1, 1.0, -1)]).await;
    next += 1;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let is_gone =
        async || site.database.number("SELECT count(*) FROM sensors WHERE sensor_id = 1").await == 0;
    slowest = slowest.max(site.slowest_until(&mut next, is_gone).await);
    println!("a reading took {usual:?} at most before, {slowest:?} while readings were deleted");
    assert!(slowest < HELD_UP_MAX, "{slowest:?}; {usual:?} before");
    comes_to("readings deleted", PATIENCE, READINGS, async || site.deleted().await).await;
    assert_eq!(site.database.row_count().await, next);
    eventually(PATIENCE, async || worker.stderr().contains("sensor and its readings deleted")).await;
    let letters = site.database.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert!(letters.iter().all(|letter| letter.reason == "unknown_sensor"), "{letters:?}");
    let audited = site.is_clean(&[]).await;
    assert_eq!(audited.report["table"]["sensors_removed"], READINGS);
}
