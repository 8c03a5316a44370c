//! What there is to do, and the proof that it was done once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use testbed::{Readings, Record, Tally, TestDatabase, TestTopic, eventually};
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// A hundred readings a record.
const BATCHES: Readings = Readings { first_sensor: 1, sensors: 97, per_record: 100, step_ms: 100 };
/// One reading a record.
const SINGLES: Readings = Readings { first_sensor: 98, sensors: 10, per_record: 1, step_ms: 100 };
/// Of this many records one is a batch.
const RECORDS_PER_BATCH: i64 = 5;
/// Readings in them.
const READINGS_PER_BATCH: i64 = 104;

/// Readings in a topic and how many of them there are; every fifth record holds 100 readings, the others one.
pub(crate) struct Work {
    /// Batches of 104 readings in 5 records, numbered from 0.
    made: Arc<AtomicI64>,
}

impl Work {
    /// Nothing yet, and a database that knows the sensors.
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        database.add_sensors(BATCHES.sensors + SINGLES.sensors).await;
        Self { made: Arc::default() }
    }

    /// Puts at least so many readings more into the topic.
    pub(crate) async fn add(&self, topic: &TestTopic, readings: u64) {
        let count = readings as i64 / READINGS_PER_BATCH + 1;
        let first = self.made.fetch_add(count, Ordering::Relaxed);
        topic.produce(records(first, count)).await;
    }

    /// Goes on adding readings until told to stop, whatever happens to Kafka meanwhile.
    pub(crate) fn keep_adding(&self, topic: &TestTopic) -> Load {
        const AT_ONCE: i64 = 20;
        let (made, stop) = (Arc::clone(&self.made), Arc::new(AtomicBool::new(false)));
        let (topic, stopped) = (topic.sink(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                topic.produce(records(made.fetch_add(AT_ONCE, Ordering::Relaxed), AT_ONCE)).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Load { stop, task }
    }

    /// Readings put into the topic so far.
    pub(crate) fn readings(&self) -> i64 {
        self.made.load(Ordering::Relaxed) * READINGS_PER_BATCH
    }

    /// Waits until all is stored and asserts that each reading is there, once, and none was refused.
    pub(crate) async fn is_done(&self, database: &TestDatabase, topic: &TestTopic) {
        self.is_done_by(database, topic, async || ()).await;
    }

    /// The same, with something to be looked after meanwhile.
    pub(crate) async fn is_done_by(
        &self,
        database: &TestDatabase,
        topic: &TestTopic,
        mut look_after: impl AsyncFnMut(),
    ) {
        let ends: Vec<i64> = topic.watermarks().await.into_iter().map(|(_, end)| end).collect();
        eventually(PATIENCE, async || {
            look_after().await;
            database.next_offsets().await == ends
        })
        .await;
        let made = self.made.load(Ordering::Relaxed);
        let tally = database.tally().await;
        println!("{} readings were sent: {tally:?}", self.readings());
        assert_eq!(tally, Tally { stored: self.readings(), duplicates: 0, dead_lettered: 0 });
        assert_eq!(database.row_count().await, self.readings(), "rows of sensor_data");
        assert_eq!(database.dead_letters().await, []);
        let sum = BATCHES.sum_of_values(made) + SINGLES.sum_of_values(made * (RECORDS_PER_BATCH - 1));
        let stored_sum = database.number("SELECT sum(value)::bigint FROM sensor_data").await;
        assert_eq!(stored_sum, sum, "as many readings as were sent, but not the same ones");
    }
}

/// A load that goes on.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Ends it once all that was begun is in Kafka.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("Kafka takes records again")
            .expect("every record was delivered");
    }
}

fn records(first: i64, count: i64) -> impl Iterator<Item = Record> + Send + 'static {
    (first..first + count).flat_map(|n| {
        let singles = RECORDS_PER_BATCH - 1;
        BATCHES.records(n..n + 1).chain(SINGLES.records(n * singles..(n + 1) * singles))
    })
}
