//! What the database takes at most: readings of the load generator, encoded beforehand, by binary COPY and nothing
//! else. `dev/bench` holds sensorpipe against it.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use sensorpipe::reading::{Reading, Timestamp};
use sensorpipe_load::{LoadConfig, Plan};
use sqlx::{Connection, Executor, PgConnection};

/// Readings encoded at a time, so that memory has a bound; what encoding takes does not count.
const SLICE: u64 = 5_000_000;
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Bytes in one message of a COPY.
const MESSAGE_BYTES: usize = 128 << 10;

/// Copies the load generator's readings into a table that is there, of sensors 1 to --sensors.
#[derive(Parser)]
struct Cli {
    /// Postgres URL
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long, value_enum)]
    way: Way,
    /// Readings in one transaction, for `--way limit`
    #[arg(long, default_value_t = 50_000)]
    batch: usize,
    #[command(flatten)]
    load: LoadConfig,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One connection, one COPY, in the order that the readings come in
    Plain,
    /// Two connections with half of the sensors each, sorted batches, no trigger
    Limit,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let sensor_ids = (1..=cli.load.sensors.cast_signed()).collect();
    let plan = Plan::new(&cli.load, sensor_ids, Timestamp::now());
    let records = cli.load.count.context("--count is missing")?.div_ceil(plan.per_record());
    let mut connections = Vec::new();
    for _ in 0..if cli.way == Way::Limit { 2 } else { 1 } {
        let mut connection = PgConnection::connect(&cli.database_url).await?;
        if cli.way == Way::Limit {
            connection.execute("SET session_replication_role = replica").await?;
        }
        connections.push(connection);
    }
    let mut copying = Duration::ZERO;
    let slice = SLICE / plan.per_record();
    for first in (0..records).step_by(slice as usize) {
        let readings = (first..records.min(first + slice)).flat_map(|record| plan.readings(record));
        let shares = match cli.way {
            Way::Plain => vec![vec![encoded(readings)]],
            Way::Limit => halves(readings, cli.batch),
        };
        let started = Instant::now();
        let mut tasks = Vec::new();
        for (connection, batches) in connections.drain(..).zip(shares) {
            tasks.push(tokio::spawn(copy_all(connection, batches)));
        }
        for task in tasks {
            connections.push(task.await??);
        }
        copying += started.elapsed();
    }
    let (count, seconds) = (records * plan.per_record(), copying.as_secs_f64());
    println!(
        r#"{{"readings":{count},"seconds":{seconds},"readings_per_second":{}}}"#,
        count as f64 / seconds
    );
    Ok(())
}

/// The COPY data of each batch, for each of two connections.
fn halves(readings: impl Iterator<Item = Reading>, batch: usize) -> Vec<Vec<Vec<u8>>> {
    let (even, odd): (Vec<Reading>, Vec<Reading>) =
        readings.partition(|reading| reading.sensor_id.rem_euclid(2) == 0);
    let batches = |mut readings: Vec<Reading>| {
        readings
            .chunks_mut(batch)
            .map(|some| {
                some.sort_unstable_by_key(|reading| (reading.sensor_id, reading.time));
                encoded(some.iter().copied())
            })
            .collect()
    };
    vec![batches(even), batches(odd)]
}

fn encoded(readings: impl Iterator<Item = Reading>) -> Vec<u8> {
    let mut data = HEADER.to_vec();
    for reading in readings {
        data.extend_from_slice(&3_i16.to_be_bytes());
        data.extend_from_slice(&4_i32.to_be_bytes());
        data.extend_from_slice(&reading.sensor_id.to_be_bytes());
        data.extend_from_slice(&8_i32.to_be_bytes());
        data.extend_from_slice(&reading.value.to_be_bytes());
        data.extend_from_slice(&8_i32.to_be_bytes());
        data.extend_from_slice(&reading.time.postgres_micros().to_be_bytes());
    }
    data.extend_from_slice(&TRAILER);
    data
}

async fn copy_all(mut connection: PgConnection, batches: Vec<Vec<u8>>) -> anyhow::Result<PgConnection> {
    for batch in batches {
        let mut stream = connection
            .copy_in_raw("COPY sensor_data (sensor_id, value, time) FROM STDIN (FORMAT binary)")
            .await?;
        for message in batch.chunks(MESSAGE_BYTES) {
            stream.send(message).await?;
        }
        stream.finish().await?;
    }
    Ok(connection)
}
