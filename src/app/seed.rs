//! The `seed` role: the sample data, through Kafka like anybody's.

use std::{collections::HashMap, time::Duration};

use anyhow::{bail, ensure};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{SCHEMA_PATIENCE, servers::Servers};
use crate::{
    config::DatabaseConfig,
    health::{Health, Need},
    kafka::{
        find_topic,
        producer::{MAX_RECORD_BYTES, Producer},
    },
    log::{Log, offset_after},
    reading::{Reading, Timestamp, encode},
    seed,
    store::{self, Offsets, SampleStore},
};

const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
const READINGS_PER_RECORD: usize = 1_000;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// How long stored offsets may stand still before there seems to be no worker.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Adds the sample sensors, publishes their readings and waits until a worker has stored them, or until `stop`.
pub(super) async fn run(servers: &Servers, stop: CancellationToken) -> anyhow::Result<()> {
    let seeded = stop.run_until_cancelled(seed(servers)).await;
    seeded.unwrap_or_else(|| bail!("stopped half-way; seeding again sends what is missing"))
}

async fn seed(servers: &Servers) -> anyhow::Result<()> {
    let Servers { database, kafka, settings } = servers;
    store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
    let topic = find_topic(kafka, settings).await?;
    let mut samples = SampleStore::open(database).await?;
    match samples.add_sensors(&seed::SENSORS).await? {
        0 => tracing::info!("the sample sensors are already there"),
        added => tracing::info!(added, "sample sensors added"),
    }

    let now = Timestamp::now();
    let readings: Vec<Vec<Reading>> =
        seed::SENSORS.iter().map(|sensor| sensor.readings(now).collect()).collect();
    let sent: u64 = readings.iter().map(|readings| readings.len() as u64).sum();
    let (Some(first), Some(last)) = (readings[0].first(), readings[0].last()) else {
        bail!("there are no sample readings");
    };
    let before = samples.count_readings(&seed::SENSORS, first.time, last.time).await?;

    tracing::info!(readings = sent, kafka.topic = kafka.kafka_topic, "publishing");
    let goals = publish(servers, &readings).await?;
    let log = Log::new(&kafka.kafka_topic, topic.identity);
    wait_until_stored(database, &log, &goals).await?;

    let after = samples.count_readings(&seed::SENSORS, first.time, last.time).await?;
    ensure!(
        after == sent,
        "{sent} readings were sent and {after} are there: the rest is in dead_letters, with the reasons"
    );
    let new = after.saturating_sub(before);
    println!("{sent} readings of 2 sensors are stored, {new} of them new and {} there already", sent - new);
    Ok(())
}

/// Publishes all readings; the offset after the last record, for each partition that got any.
async fn publish(servers: &Servers, readings: &[Vec<Reading>]) -> anyhow::Result<HashMap<i32, i64>> {
    let Servers { kafka, settings, .. } = servers;
    // Nobody asks this process how it is; a client beyond help fails the records.
    let component = Health::default().component("kafka", Need::Required);
    let producer = Producer::new(kafka, settings, PUBLISH_TIMEOUT, component)?;
    let mut goals = HashMap::new();
    for (sensor, readings) in seed::SENSORS.iter().zip(readings) {
        let records: Vec<String> = readings
            .chunks(READINGS_PER_RECORD)
            .flat_map(|chunk| encode::batches(chunk, MAX_RECORD_BYTES))
            .collect();
        for receipt in producer.publish_all(sensor.sensor_id, &records).await? {
            let goal = goals.entry(receipt.partition).or_default();
            *goal = offset_after(receipt.offset).max(*goal);
        }
    }
    producer.close(PUBLISH_TIMEOUT).await;
    Ok(goals)
}

/// Waits until the stored offsets reach `goals`; gives up where they stand still.
async fn wait_until_stored(
    database: &DatabaseConfig,
    log: &Log,
    goals: &HashMap<i32, i64>,
) -> anyhow::Result<()> {
    let partitions: Vec<i32> = goals.keys().copied().collect();
    let mut offsets = Offsets::connect(database, log).await?;
    let (mut seen, mut moved_at, mut said_at) = (None, Instant::now(), Instant::now());
    loop {
        let stored = offsets.read(&partitions).await?;
        let reached: HashMap<i32, i64> = stored
            .iter()
            .filter(|offset| offset.topic_id == log.topic_id)
            .map(|offset| (offset.partition, offset.next_offset))
            .collect();
        let left: i64 = goals
            .iter()
            .map(|(partition, goal)| goal - reached.get(partition).copied().unwrap_or_default().min(*goal))
            .sum();
        if left == 0 {
            return Ok(());
        }
        if seen.as_ref() != Some(&reached) {
            (seen, moved_at) = (Some(reached), Instant::now());
        }
        ensure!(
            moved_at.elapsed() < STALL_TIMEOUT,
            "the readings are in Kafka, but nothing has stored them for {} s: is `sensorpipe worker` running? \
             Once it does, they will be stored; there is no need to seed again",
            STALL_TIMEOUT.as_secs()
        );
        if said_at.elapsed() >= PROGRESS_INTERVAL {
            tracing::info!(records_left = left, "waiting for a worker to store them");
            said_at = Instant::now();
        }
        sleep(POLL_INTERVAL).await;
    }
}
