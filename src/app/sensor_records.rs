//! The table of sensors and their topic, kept alike by whoever runs a worker.
//!
//! The topic is told of each change of the table; what the table has lost, as by a failover to a standby that was behind,
//! comes back from the topic. How far the table is known to hold what the topic says is stored beside it, so that it goes
//! back where the table does, and what follows is looked at again.

mod restoring;

use std::{collections::HashMap, mem, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use self::restoring::{NAMED_AT_MOST, named, restore_all, unless_refused};
use super::servers::Servers;
use crate::{
    config::DatabaseConfig,
    kafka::{InvalidSettings, LogError, PublishError, SensorTopic, TopicError, UnreadError},
    log::DatabaseId,
    metrics::{SENSOR_RECORDS, SENSORS_RESTORED},
    pipeline::GroupWatch,
    registry::{Description, Known, Latest, Lost, Row, SensorRecord},
    store::{
        LostSensors, StoreError,
        sensors::{KeepingTurn, RecordKeeper},
    },
};

/// After so long what was read is not told any more: somebody else may have told newer things meanwhile.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// How often is asked whether the topic is still the same one.
const ASK_INTERVAL: Duration = Duration::from_secs(30);
/// How long a batch waits for sensors before it is tried again.
const BRING_BACK_TIMEOUT: Duration = Duration::from_secs(20);

/// Keeps them alike; shared by all of a worker.
pub(super) struct SensorRecords {
    topic: SensorTopic,
    database: DatabaseConfig,
    /// The topic is its group's: of two databases with one group, the one that the group is refused to would write over the
    /// other one's sensors.
    group: GroupWatch,
    /// From one time to the next; none before the first, and after an error.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    keeper: RecordKeeper,
    database: DatabaseId,
    topic_id: String,
    /// When the topic was asked last for its id.
    asked: Instant,
    /// All of it was compared once.
    is_compared: bool,
}

/// They cannot be kept alike now.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordsError {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error("the topic of the sensors was recreated")]
    Recreated,
    #[error("telling the topic of the sensors what the table has takes too long; the rest follows")]
    Stale,
    #[error(transparent)]
    Unread(#[from] UnreadError),
    #[error("the topic of the sensors takes no record")]
    Publish(#[from] PublishError),
    #[error("the topic of the sensors cannot be read again")]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether they were kept alike, or that is another process's to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    Done,
    Elsewhere,
}

impl SensorRecords {
    pub(super) fn open(servers: &Servers, group: GroupWatch) -> Result<Self, InvalidSettings> {
        let topic = SensorTopic::open(&servers.kafka, &servers.settings)?;
        Ok(Self { topic, database: servers.database.clone(), group, kept: Mutex::default() })
    }

    /// Makes again what the table has lost, and tells the topic of what has changed.
    pub(super) async fn keep(&self) -> Result<Keeping, RecordsError> {
        let mut place = self.kept.lock().await;
        let mut kept = self.begin(place.take()).await?;
        if !self.group.is_of(kept.database).await {
            *place = Some(kept);
            return Ok(Keeping::Elsewhere);
        }
        let standing = kept.keeper.standing(self.topic.name(), &kept.topic_id).await?;
        // In this order: what came back is not taken for what is new.
        let is_behind = standing.next_offset != Some(self.topic.registry().next_offset());
        let mut keeping = Keeping::Done;
        if !kept.is_compared || is_behind || standing.lacks_changes {
            keeping = self.restore(&mut kept).await?;
        }
        if standing.has_changes && keeping == Keeping::Done {
            keeping = self.tell(&mut kept).await?;
        }
        *place = Some(kept);
        Ok(keeping)
    }

    /// Only the first of the two.
    async fn restore_now(&self) -> Result<Keeping, RecordsError> {
        let mut place = self.kept.lock().await;
        let mut kept = self.begin(place.take()).await?;
        let is_ours = self.group.is_of(kept.database).await;
        let keeping = if is_ours { self.restore(&mut kept).await? } else { Keeping::Elsewhere };
        *place = Some(kept);
        Ok(keeping)
    }

    /// What to go on with.
    async fn begin(&self, mut former: Option<Kept>) -> Result<Kept, RecordsError> {
        if let Some(kept) = former.as_mut().filter(|kept| kept.asked.elapsed() >= ASK_INTERVAL) {
            let topic_id = self.topic.id().await?;
            kept.is_compared &= kept.topic_id == topic_id;
            (kept.topic_id, kept.asked) = (topic_id, Instant::now());
        }
        let (topic_id, asked) = match former {
            Some(kept) if !kept.keeper.is_behind() => return Ok(kept),
            Some(kept) => (kept.topic_id, kept.asked),
            None => (self.topic.id().await?, Instant::now()),
        };
        let mut keeper = RecordKeeper::open(&self.database).await?;
        let database = keeper.database_id().await?;
        // One that was behind may not know how far a topic was cut.
        Ok(Kept { keeper, database, topic_id, asked, is_compared: false })
    }

    /// Looks at what the topic says since what the table is known to hold; of a topic that is met for the first time, or lacks
    /// something that the table has, at all that it says and does not say.
    async fn restore(
        &self,
        Kept { keeper, topic_id, is_compared, .. }: &mut Kept,
    ) -> Result<Keeping, RecordsError> {
        let Some(mut turn) = keeper.begin(self.topic.name()).await? else { return Ok(Keeping::Elsewhere) };
        let is_other = turn.topic_id != *topic_id;
        if is_other && !turn.topic_id.is_empty() && self.topic.id().await? != *topic_id {
            return Err(RecordsError::Recreated);
        }
        // Read while nobody else tells it anything, so that what is missing here is known there.
        self.topic.read_to_end().await?;
        let end = self.topic.registry().next_offset();
        let is_cut = !is_other && turn.next_offset > end;
        let known = Known {
            up_to: if is_other { 0 } else { turn.next_offset },
            topic_lacks_changes: !is_other && turn.lacks_changes,
        };
        if is_other && !turn.topic_id.is_empty() {
            tracing::warn!(
                kafka.topic = self.topic.name(),
                "the topic of the sensors was recreated: it is told what the table has; ids of sensors that the table had \
                 lost as well may be given out again"
            );
        }
        let compares_all = !*is_compared || is_other || is_cut || known.topic_lacks_changes;
        let since = if compares_all { 0 } else { turn.next_offset };
        let latest: HashMap<i32, Latest> = self.topic.registry().since(since).into_iter().collect();
        let ids: Vec<i32> = latest.keys().copied().collect();
        let compared_at = Instant::now();
        let rows = turn.compare(&ids).await?;
        if compares_all {
            let told: Vec<i32> = self.topic.registry().sensors().collect();
            turn.tell_all_but(&told).await?;
        }
        let mut lost = Lost::of(&latest, rows, known);
        if is_cut {
            tracing::warn!(
                kafka.topic = self.topic.name(),
                offset = turn.next_offset,
                end,
                sensors = lost.untold.len(),
                "the topic of the sensors was cut, as by an unclean election: it is told again what the table has"
            );
        }
        self.tell_rows(mem::take(&mut lost.untold), compared_at).await?;
        if !lost.is_empty() {
            self.make_again(&mut turn, lost).await?;
        }
        turn.end(topic_id, end).await?;
        *is_compared = true;
        Ok(Keeping::Done)
    }

    async fn make_again(&self, turn: &mut KeepingTurn<'_>, lost: Lost) -> Result<(), RecordsError> {
        let offsets: Vec<i64> = lost.sensors.iter().map(|(latest, _)| latest.offset).collect();
        let records = self.topic.records_at(&offsets).await?.into_iter();
        let described = |SensorRecord { sensor_id, sensor, .. }| Some((sensor_id, sensor?));
        let mut records: HashMap<i32, Description> = records.filter_map(described).collect();
        let (mut missing, mut changed) = (Vec::new(), Vec::new());
        for (_, Row { sensor_id, sensor, .. }) in lost.sensors {
            let Some(said) = records.remove(&sensor_id) else { continue };
            match sensor {
                None => missing.push((sensor_id, said)),
                Some(found) => {
                    let outcome = turn.change_again(sensor_id, &found, &said).await;
                    let again = unless_refused(outcome, sensor_id)?;
                    if !again.is_empty() && changed.len() < NAMED_AT_MOST {
                        tracing::warn!(sensor_id, was = ?found, is = ?said, "a lost change of a sensor was made again");
                    }
                    changed.extend(again);
                }
            }
        }
        missing.sort_unstable_by_key(|(sensor_id, _)| *sensor_id);
        if let Some(&(largest, _)) = missing.last() {
            turn.skip_ids(largest).await?;
        }
        let restored = restore_all(turn, &missing).await?;
        turn.tell_again(&lost.deletions).await?;
        metrics::counter!(SENSORS_RESTORED).increment(restored.len() as u64);
        // One that was being made just now is there by itself.
        if !restored.is_empty() || !changed.is_empty() || !lost.deletions.is_empty() {
            tracing::warn!(
                restored = restored.len(),
                sensors = named(&restored),
                changed = named(&changed),
                deletions_lost = named(&lost.deletions),
                "the database had lost sensors, as by a failover to a standby that was behind, or their making was not \
                 answered: they are there again, with their ids; a sensor whose deletion was lost is there as before it"
            );
        }
        Ok(())
    }

    /// Tells the topic what the table said at some time; the rest of it another time, where that takes too long.
    async fn tell_rows(&self, rows: Vec<Row>, read_at: Instant) -> Result<(), RecordsError> {
        /// At a time.
        const SENSORS_MAX: usize = 1_000;
        let states: Vec<SensorRecord> =
            rows.into_iter().map(|row| SensorRecord::state(row.sensor_id, row.sensor)).collect();
        for some in states.chunks(SENSORS_MAX) {
            if read_at.elapsed() >= STALE_AFTER {
                return Err(RecordsError::Stale);
            }
            self.publish(some).await?;
        }
        Ok(())
    }

    async fn publish(&self, states: &[SensorRecord]) -> Result<Vec<i64>, PublishError> {
        let offsets = self.topic.publish(states).await?;
        metrics::counter!(SENSOR_RECORDS).increment(offsets.len() as u64);
        Ok(offsets)
    }

    /// Tells the topic of all changes.
    async fn tell(&self, Kept { keeper, topic_id, .. }: &mut Kept) -> Result<Keeping, RecordsError> {
        loop {
            let Some(mut turn) = keeper.begin(self.topic.name()).await? else {
                return Ok(Keeping::Elsewhere);
            };
            let read_at = Instant::now();
            let changes = turn.changes().await?;
            if changes.ids.is_empty() {
                return Ok(Keeping::Done);
            }
            self.topic.read_to_end().await?;
            let end = self.topic.registry().next_offset();
            let states = self.news(changes.states);
            if read_at.elapsed() < STALE_AFTER {
                let offsets = self.publish(&states).await?;
                turn.forget_changes(&changes.ids).await?;
                // The table holds what it has told itself, where nobody has said anything in between.
                let is_next = (end..).zip(&offsets).all(|(next, &offset)| next == offset);
                if turn.topic_id == *topic_id && turn.next_offset == end && is_next {
                    turn.note(topic_id, end + offsets.len() as i64, turn.lacks_changes).await?;
                }
            }
            turn.commit().await?;
        }
    }

    /// What the topic does not say yet.
    fn news(&self, states: Vec<(SensorRecord, bool)>) -> Vec<SensorRecord> {
        let registry = self.topic.registry();
        let is_news = |(state, is_new): (SensorRecord, bool)| {
            let fingerprint = state.sensor.as_ref().map(Description::fingerprint);
            let said = registry.latest(state.sensor_id).map(|latest| latest.fingerprint);
            match said {
                Some(None) if is_new => tracing::warn!(
                    sensor_id = state.sensor_id,
                    "SQL made a sensor with the id of one that was deleted: what still comes for that one is under the new one"
                ),
                Some(Some(_)) if is_new && said != Some(fingerprint) => tracing::error!(
                    sensor_id = state.sensor_id,
                    "SQL made a sensor with an id that another one had: readings of both are under this id from now on; \
                     make sensors over HTTP, or wait after a failover until workers have made again what was lost"
                ),
                _ => {}
            }
            (said != Some(fingerprint)).then_some(state)
        };
        states.into_iter().filter_map(is_news).collect()
    }
}

impl LostSensors for SensorRecords {
    fn bring_back<'s>(&'s self, unknown: &'s [i32]) -> BoxFuture<'s, Result<(), StoreError>> {
        const DOING: &str = "looking whether sensors were lost";
        let bringing = async {
            match self.topic.read_to_end().await {
                Ok(()) => {}
                // What was never there, or may not be read, is not waited for.
                Err(UnreadError::Unreadable { .. }) => return Ok(()),
                Err(error) => return Err(StoreError::of_another(DOING, error)),
            }
            if !unknown.iter().any(|&id| self.topic.registry().has(id)) {
                return Ok(());
            }
            match self.restore_now().await {
                Ok(Keeping::Done) => Ok(()),
                Ok(Keeping::Elsewhere) => Err(StoreError::of_another(DOING, Elsewhere)),
                Err(RecordsError::Store(error)) if error.is_missing_right() => Ok(()),
                Err(RecordsError::Store(error)) => Err(error),
                Err(error) => Err(StoreError::of_another(DOING, error)),
            }
        };
        Box::pin(
            async move { timeout(BRING_BACK_TIMEOUT, bringing).await.map_err(StoreError::timed_out(DOING))? },
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("another process is making lost sensors again")]
struct Elsewhere;
