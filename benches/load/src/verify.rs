//! Watches the stored offsets while readings are sent, and holds the table against them in the end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{bail, ensure};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use sensorpipe::{
    batch::Tally,
    config::{KafkaConfig, KafkaSettings},
    kafka::{TopicLog, topic_log},
    log::Log,
};

use crate::{
    database::Database,
    ledger::{Ledger, Outcome},
    plan::Expected,
    report::Verified,
    visible::Sightings,
};

/// How often the stored offsets are looked at: what a measured latency may be too long by.
const WATCH_INTERVAL: Duration = Duration::from_millis(2);
/// The same before anything is measured.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(100);

/// A worker is there and has stored all that was in the topic before.
pub(crate) struct Verification {
    database: Database,
    log: Log,
    before: Tally,
    stall_timeout: Duration,
}

/// The watching has begun.
pub(crate) struct Watched {
    watching: JoinHandle<anyhow::Result<(Database, Sightings)>>,
    goals: watch::Sender<Option<BTreeMap<i32, i64>>>,
    log: Log,
    before: Tally,
}

impl Verification {
    /// Waits until a worker has every partition and has stored what is in the topic by now.
    pub(crate) async fn begin(
        mut database: Database,
        kafka: &KafkaConfig,
        settings: &KafkaSettings,
        stall_timeout: Duration,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let TopicLog { identity, partitions } = topic_log(kafka, settings).await?;
        let log = Log::new(&kafka.kafka_topic, identity);
        let ends: BTreeMap<i32, i64> =
            partitions.into_iter().map(|(partition, log)| (partition, log.high)).collect();
        let mut sightings = Sightings::default();
        let mut moved_at = Instant::now();
        loop {
            for (partition, next_offset) in database.next_offsets(&log).await? {
                if sightings.note(partition, next_offset, Duration::ZERO) {
                    moved_at = Instant::now();
                }
            }
            if ends.keys().all(|partition| sightings.has_seen(*partition))
                && sightings.records_left(&ends) == 0
            {
                break;
            }
            ensure!(moved_at.elapsed() < stall_timeout, "{}", stalled(sightings.records_left(&ends)));
            ensure!(!stop.is_cancelled(), "stopped before anything was sent");
            sleep(CATCH_UP_INTERVAL).await;
        }
        let before = database.tally(&log).await?;
        Ok(Self { database, log, before, stall_timeout })
    }

    /// Begins to watch; times are the ledger's.
    pub(crate) fn watch(self, ledger: Arc<Ledger>) -> Watched {
        let (goals, goals_known) = watch::channel(None);
        let watcher = Watcher {
            database: self.database,
            log: self.log.clone(),
            ledger,
            stall_timeout: self.stall_timeout,
        };
        let watching = tokio::spawn(watcher.run(goals_known));
        Watched { watching, goals, log: self.log, before: self.before }
    }
}

impl Watched {
    /// Waits until everything acknowledged is stored, and says whether it is what was sent.
    pub(crate) async fn conclude(
        self,
        expected: &Expected,
        unacknowledged: u64,
        outcome: &Outcome,
        stop: &CancellationToken,
    ) -> anyhow::Result<Verified> {
        self.goals.send_replace(Some(outcome.goals.clone()));
        // A run that was stopped early is verified still; only a signal that comes now ends the wait.
        let is_stopped_early = stop.is_cancelled();
        let (mut database, sightings) = tokio::select! {
            watched = self.watching => watched??,
            () = stop.cancelled(), if !is_stopped_early => bail!("stopped before all of it was verified"),
        };
        let after = database.tally(&self.log).await?;
        let found = database.find(expected).await?;
        let visibility = sightings.latencies(&outcome.samples);
        Ok(Verified::new(expected, unacknowledged, found, after - self.before, visibility))
    }
}

struct Watcher {
    database: Database,
    log: Log,
    ledger: Arc<Ledger>,
    stall_timeout: Duration,
}

impl Watcher {
    /// Looks again and again, until the goals are known and reached.
    async fn run(
        mut self,
        goals: watch::Receiver<Option<BTreeMap<i32, i64>>>,
    ) -> anyhow::Result<(Database, Sightings)> {
        let mut sightings = Sightings::default();
        let mut moved_at = Instant::now();
        let mut ticks = interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let goals = goals.borrow().clone();
            let stored = self.database.next_offsets(&self.log).await?;
            let seen_at = self.ledger.elapsed();
            for (partition, next_offset) in stored {
                if sightings.note(partition, next_offset, seen_at) {
                    moved_at = Instant::now();
                }
            }
            match goals.map(|goals| sightings.records_left(&goals)) {
                Some(0) => return Ok((self.database, sightings)),
                Some(left) => ensure!(moved_at.elapsed() < self.stall_timeout, "{}", stalled(left)),
                // It is still being sent, however slowly.
                None => moved_at = Instant::now(),
            }
            ticks.tick().await;
        }
    }
}

fn stalled(records_left: i64) -> String {
    format!(
        "{records_left} records are in Kafka and nothing stores them: is `sensorpipe worker` running, with this \
         database and this topic?"
    )
}
