//! Which sensors exist, as far as this process has heard: ingestion asks Postgres once a sensor, not once a reading.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::OptionFuture;
use moka::sync::Cache;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::change_hints::SensorHints;
use crate::{
    config::DatabaseConfig,
    health::Component,
    kafka::SensorTopic,
    store::{Pool, SensorChanges, StoreError, Unfit, sensors},
};

/// Pause between attempts to listen while Postgres does not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long an id that is unknown is not asked for again, should the message that it was made be late.
const UNKNOWN_FOR: Duration = Duration::from_millis(800);
/// Most ids that are remembered as unknown.
const UNKNOWN_MAX: u64 = 10_000;
/// Most connections that look-ups of ids that nobody has heard of take at a time, however many requests want one. They
/// are connections of their own, or ingestion would wait behind queries.
const LOOK_UPS_MAX: u32 = 2;
/// One more looks where messages say that something has changed.
const CONNECTIONS: u32 = LOOK_UPS_MAX + 1;
/// Pause between two such looks: so much longer than the last one took, and so long at least. However many messages
/// there are, no more than a fifth of a connection's time goes there.
const LOOK_REST: u32 = 4;
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for a look-up to begin.
const LOOK_UP_WAIT: Duration = Duration::from_secs(2);

/// A bounded cache of ids that exist; when it is full, the least used one makes room and is asked for again.
///
/// It is filled when it begins to listen to what the database says of new and deleted sensors, and again after
/// each time that it could not listen. What is said is not believed but looked for: anybody who may connect can say it.
#[derive(Clone)]
pub struct SensorCache {
    /// Each with the round in which it was heard of.
    ids: Cache<i32, u32>,
    unknown: Cache<i32, ()>,
    /// Of the unknown ones those that the database has lost.
    lost: Cache<i32, ()>,
    shared: Arc<Shared>,
    pub(super) pool: Pool,
    /// What the database may have lost.
    pub(super) topic: Option<SensorTopic>,
    max: u64,
}

#[derive(Debug)]
struct Shared {
    /// Counts the fillings. What was heard of before the last finished one counts no more.
    round: AtomicU32,
    oldest_round: AtomicU32,
    /// Counts deletions: an answer from before one is not to be kept.
    deletions: AtomicU64,
    look_ups: Semaphore,
}

/// A moment, to note later what was true then.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Moment(u64);

impl SensorCache {
    /// An empty cache of at most `max` ids, which asks the database of `pool` over connections of its own.
    pub fn new(pool: &Pool, max: u64) -> Self {
        let shared = Shared {
            round: AtomicU32::new(0),
            oldest_round: AtomicU32::new(0),
            deletions: AtomicU64::new(0),
            look_ups: Semaphore::new(LOOK_UPS_MAX as usize),
        };
        let unknown = || Cache::builder().max_capacity(UNKNOWN_MAX).time_to_live(UNKNOWN_FOR).build();
        Self {
            ids: Cache::new(max),
            unknown: unknown(),
            lost: unknown(),
            shared: Arc::new(shared),
            pool: pool.beside("look-ups", CONNECTIONS),
            topic: None,
            max,
        }
    }

    /// Knows by this topic which sensors the database has lost.
    pub(in crate::http) fn and_of(self, topic: SensorTopic) -> Self {
        Self { topic: Some(topic), ..self }
    }

    /// Whether there is such a sensor; asks Postgres where the cache does not know. Who asks in turns with others waits
    /// for its own turn first.
    pub(in crate::http) async fn contains(
        &self,
        sensor_id: i32,
        turns: Option<&Semaphore>,
    ) -> Result<bool, StoreError> {
        match self.heard(sensor_id) {
            Some(answer) => Ok(answer),
            None => Ok(!self.among(&[sensor_id], turns).await?.is_empty()),
        }
    }

    /// Which of these are sensors; asks Postgres once for all that the cache does not know.
    pub(in crate::http) async fn among(
        &self,
        sensor_ids: &[i32],
        turns: Option<&Semaphore>,
    ) -> Result<Vec<i32>, StoreError> {
        let mut there = Vec::new();
        let mut unheard = self.unheard(sensor_ids.to_vec(), &mut there);
        if unheard.is_empty() {
            return Ok(there);
        }
        let _permits = self.look_up(turns).await?;
        // Others may have asked for the same ones meanwhile.
        unheard = self.unheard(unheard, &mut there);
        if unheard.is_empty() {
            return Ok(there);
        }
        let now = self.now();
        let found = sensors::existing(&self.pool, unheard.clone()).await?;
        for &sensor_id in &found {
            self.insert_as_of(now, sensor_id);
        }
        let found: HashSet<i32> = found.into_iter().collect();
        for sensor_id in unheard {
            if found.contains(&sensor_id) {
                there.push(sensor_id);
            } else {
                self.unknown.insert(sensor_id, ());
            }
        }
        Ok(there)
    }

    /// Those of which nothing is known; those that are known to be sensors go to `there`.
    fn unheard(&self, mut sensor_ids: Vec<i32>, there: &mut Vec<i32>) -> Vec<i32> {
        sensor_ids.retain(|&sensor_id| {
            let heard = self.heard(sensor_id);
            there.extend(heard.filter(|is_there| *is_there).map(|_| sensor_id));
            heard.is_none()
        });
        sensor_ids
    }

    /// Waits until a look-up may begin.
    async fn look_up<'s>(
        &'s self,
        turns: Option<&'s Semaphore>,
    ) -> Result<(Option<SemaphorePermit<'s>>, SemaphorePermit<'s>), StoreError> {
        let waiting = async {
            let turn = OptionFuture::from(turns.map(Semaphore::acquire)).await.transpose();
            let place = self.shared.look_ups.acquire().await;
            (turn.expect("it is never closed"), place.expect("it is never closed"))
        };
        timeout(LOOK_UP_WAIT, waiting).await.map_err(StoreError::timed_out("waiting to look up sensors"))
    }

    /// Whether the cache alone knows it.
    pub fn is_cached(&self, sensor_id: i32) -> bool {
        let oldest = self.shared.oldest_round.load(Ordering::Acquire);
        self.ids.get(&sensor_id).is_some_and(|round| round >= oldest)
    }

    /// Whether it was found a moment ago that the database has lost it.
    pub(super) fn is_lost(&self, sensor_id: i32) -> bool {
        self.lost.contains_key(&sensor_id)
    }

    /// Notes that the database has lost these.
    pub(super) fn note_lost(&self, sensor_ids: &[i32]) {
        for &sensor_id in sensor_ids {
            self.lost.insert(sensor_id, ());
        }
    }

    /// What is known of it; that it was made outweighs that it was unknown a moment ago.
    fn heard(&self, sensor_id: i32) -> Option<bool> {
        if self.is_cached(sensor_id) {
            Some(true)
        } else if self.unknown.contains_key(&sensor_id) {
            Some(false)
        } else {
            None
        }
    }

    /// Before a question is asked or a sensor made.
    pub(in crate::http) fn now(&self) -> Moment {
        Moment(self.shared.deletions.load(Ordering::Acquire))
    }

    /// Notes that there was such a sensor then, unless one was deleted since: it may have been this one.
    pub(super) fn insert_as_of(&self, moment: Moment, sensor_id: i32) {
        self.insert(sensor_id);
        if self.shared.deletions.load(Ordering::Acquire) != moment.0 {
            self.ids.invalidate(&sensor_id);
        }
    }

    /// Notes that there is such a sensor.
    pub fn insert(&self, sensor_id: i32) {
        self.ids.insert(sensor_id, self.shared.round.load(Ordering::Acquire));
        self.unknown.invalidate(&sensor_id);
        self.lost.invalidate(&sensor_id);
    }

    /// Notes that there is no such sensor any more.
    pub(in crate::http) fn remove(&self, sensor_id: i32) {
        self.shared.deletions.fetch_add(1, Ordering::AcqRel);
        self.ids.invalidate(&sensor_id);
    }

    /// Keeps the cache in step with the database until `stop`.
    ///
    /// Without Postgres it stays as it is: ingestion goes on for the sensors that are known. `session` is told whether
    /// what lies between keeps sessions.
    pub async fn follow(self, database: DatabaseConfig, session: Component, stop: CancellationToken) {
        let following = async {
            loop {
                let Err(error) = self.follow_until_lost(&database, &session).await;
                if let Some(unfit @ Unfit::NoStatements) = error.as_unfit() {
                    session.down(unfit.to_string());
                }
                tracing::debug!("{error}: {}", error.server_message());
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = stop.cancelled() => {}
        }
    }

    /// Closes its connections; what it does not know by then is not known any more.
    pub fn close(&self) -> impl Future<Output = ()> + use<> {
        self.pool.close()
    }

    async fn follow_until_lost(
        &self,
        database: &DatabaseConfig,
        session: &Component,
    ) -> Result<Infallible, StoreError> {
        /// A session that is given away may still answer now and then.
        const ANSWERS_ENOUGH: u32 = 3;
        // First listen, then read: what changes in between is told afterwards, and in its order.
        let mut changes = SensorChanges::listen(database).await?;
        let count = self.fill().await?;
        tracing::info!(sensors.count = count, "{count} sensors are known");
        let mut answers = 0_u32;
        let mut hints = SensorHints::default();
        let (mut ids_due, mut all_due) = (Instant::now(), Instant::now());
        loop {
            let change = match hints.due(ids_due, all_due) {
                Some(due) => changes.next_by(due).await?,
                None => Some(changes.next().await?),
            };
            if let Some(change) = change {
                answers = answers.saturating_add(1);
                if answers == ANSWERS_ENOUGH {
                    session.up();
                }
                hints.note(change);
            }
            let started = Instant::now();
            if hints.are_about_all() && started >= all_due {
                hints = SensorHints::default();
                self.fill().await?;
                all_due = rested(started);
            } else if hints.are_about_some() && started >= ids_due {
                self.refresh(hints.take_ids()).await?;
                ids_due = rested(started);
            }
        }
    }

    /// Looks which of these are sensors now.
    async fn refresh(&self, sensor_ids: Vec<i32>) -> Result<(), StoreError> {
        let now = self.now();
        let there: HashSet<i32> =
            sensors::existing(&self.pool, sensor_ids.clone()).await?.into_iter().collect();
        for &sensor_id in &there {
            self.insert_as_of(now, sensor_id);
        }
        for sensor_id in sensor_ids {
            if !there.contains(&sensor_id) && self.is_cached(sensor_id) {
                self.remove(sensor_id);
            }
        }
        Ok(())
    }

    /// Reads the newest sensors; what is not among them counts no more once that is done.
    async fn fill(&self) -> Result<u64, StoreError> {
        let round = self.shared.round.fetch_add(1, Ordering::AcqRel) + 1;
        let ids = self.ids.clone();
        let count = sensors::for_each_id(&self.pool, self.max, move |id| ids.insert(id, round)).await?;
        self.shared.deletions.fetch_add(1, Ordering::AcqRel);
        self.shared.oldest_round.store(round, Ordering::Release);
        self.unknown.invalidate_all();
        Ok(count)
    }
}

/// When the next look may be, after one that has just ended.
fn rested(started: Instant) -> Instant {
    Instant::now() + CHECK_INTERVAL.max(started.elapsed() * LOOK_REST)
}
