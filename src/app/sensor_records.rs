//! The table of sensors and their topic, kept alike by whoever runs a worker.
//!
//! The topic is told of each change of the table; what the table has lost, as by a failover to a standby that was behind,
//! comes back from the topic. How far the table is known to hold what the topic says is stored beside it, so that it goes
//! back where the table does, and what follows is looked at again.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use tokio::{sync::Mutex, time::Instant};

use super::servers::Servers;
use crate::{
    config::DatabaseConfig,
    kafka::{InvalidSettings, LogError, PublishError, SensorTopic, TopicError, UnreadError},
    metrics::{SENSOR_RECORDS, SENSORS_RESTORED},
    registry::{Description, Latest, SensorRecord},
    store::{
        LostSensors, StoreError,
        sensors::{Compared, KeepingTurn, RecordKeeper, Sensor},
    },
};

/// After so long what was read is not told any more: somebody else may have told newer things meanwhile.
const STALE_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

/// Keeps them alike; shared by all of a worker.
pub(super) struct SensorRecords {
    topic: SensorTopic,
    database: DatabaseConfig,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    keeper: Option<RecordKeeper>,
    topic_id: Option<String>,
}

/// They cannot be kept alike now.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordsError {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    Unread(#[from] UnreadError),
    #[error("the topic of the sensors takes no record")]
    Publish(#[from] PublishError),
    #[error("the topic of the sensors cannot be read again")]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What differs between the table and the topic, where that is the topic's to say.
#[derive(Debug, Default)]
struct Lost {
    /// Sensors that the table has no row of, or another one: where their records are.
    sensors: Vec<(Latest, Compared)>,
    /// Sensors that were deleted and are there again.
    deletions: Vec<i32>,
}

impl SensorRecords {
    pub(super) fn open(servers: &Servers) -> Result<Self, InvalidSettings> {
        let topic = SensorTopic::open(&servers.kafka, &servers.settings)?;
        Ok(Self { topic, database: servers.database.clone(), kept: Mutex::default() })
    }

    /// Tells the topic of what has changed, and makes again what the table has lost.
    pub(super) async fn keep(&self) -> Result<(), RecordsError> {
        let mut kept = self.kept.lock().await;
        let result = self.keep_with(&mut kept).await;
        if result.is_err() {
            *kept = Kept::default();
        }
        result
    }

    async fn keep_with(&self, kept: &mut Kept) -> Result<(), RecordsError> {
        let known = kept.topic_id.take();
        let is_first = known.is_none();
        let topic_id = match known {
            Some(topic_id) => topic_id,
            None => self.know_topic().await?,
        };
        let mut keeper = match kept.keeper.take() {
            Some(keeper) => keeper,
            None => RecordKeeper::open(&self.database).await?,
        };
        let standing = keeper.standing(self.topic.name(), &topic_id).await?;
        if standing.has_changes {
            self.tell(&mut keeper, &topic_id).await?;
        }
        let read_up_to = self.topic.registry().next_offset();
        if is_first || standing.has_changes || standing.next_offset != Some(read_up_to) {
            self.restore(&mut keeper, &topic_id, is_first).await?;
        }
        *kept = Kept { keeper: Some(keeper), topic_id: Some(topic_id) };
        Ok(())
    }

    /// Its id, once it has been read.
    async fn know_topic(&self) -> Result<String, RecordsError> {
        let topic_id = self.topic.id().await?;
        self.topic.read_to_end().await?;
        Ok(topic_id)
    }

    /// Tells the topic of all changes.
    async fn tell(&self, keeper: &mut RecordKeeper, topic_id: &str) -> Result<(), RecordsError> {
        loop {
            self.topic.read_to_end().await?;
            let end = self.topic.registry().next_offset();
            let mut turn = keeper.begin(self.topic.name(), topic_id, end).await?;
            let read_at = Instant::now();
            let changes = turn.changes().await?;
            if changes.ids.is_empty() {
                let next_offset = turn.next_offset;
                turn.end(next_offset).await?;
                return Ok(());
            }
            if read_at.elapsed() < STALE_AFTER {
                self.topic.publish(&changes.records).await?;
                turn.forget_changes(&changes.ids).await?;
                metrics::counter!(SENSOR_RECORDS).increment(changes.records.len() as u64);
            }
            let next_offset = turn.next_offset;
            turn.end(next_offset).await?;
        }
    }

    /// Looks at what the topic says since what the table is known to hold; the first time also at what it does not say.
    async fn restore(
        &self,
        keeper: &mut RecordKeeper,
        topic_id: &str,
        is_first: bool,
    ) -> Result<(), RecordsError> {
        self.topic.read_to_end().await?;
        let end = self.topic.registry().next_offset();
        let mut turn = keeper.begin(self.topic.name(), topic_id, end).await?;
        let latest: HashMap<i32, Latest> =
            self.topic.registry().since(turn.next_offset).into_iter().collect();
        let ids: Vec<i32> = latest.keys().copied().collect();
        let compared = turn.compare(&ids).await?;
        let lost = lost(&latest, compared);
        if !lost.sensors.is_empty() || !lost.deletions.is_empty() {
            // What was deleted or changed since the topic was read is in it now, or among the changes that were seen.
            self.topic.read_to_end().await?;
            self.make_again(&mut turn, lost).await?;
        }
        if is_first {
            let exists = |(_, latest): &(i32, Latest)| latest.fingerprint.is_some();
            let told: Vec<i32> = self.topic.registry().ids().filter(exists).map(|(id, _)| id).collect();
            turn.tell_all_but(&told).await?;
        }
        turn.end(end).await?;
        Ok(())
    }

    async fn make_again(&self, turn: &mut KeepingTurn<'_>, mut lost: Lost) -> Result<(), RecordsError> {
        {
            let registry = self.topic.registry();
            let is_latest = |id: i32, latest: &Latest| registry.latest(id) == Some(*latest);
            lost.sensors.retain(|(latest, row)| is_latest(row.sensor_id, latest));
            lost.deletions.retain(|&id| !registry.has(id));
        }
        let offsets: Vec<i64> = lost.sensors.iter().map(|(latest, _)| latest.offset).collect();
        let records: HashMap<i32, Description> = self
            .topic
            .records_at(&offsets)
            .await?
            .into_iter()
            .filter_map(|SensorRecord { sensor_id, sensor }| Some((sensor_id, sensor?)))
            .collect();
        let (mut missing, mut changed) = (Vec::new(), 0_u64);
        for (_, row) in lost.sensors {
            let Some(said) = records.get(&row.sensor_id) else { continue };
            let said = sensor(row.sensor_id, said.clone());
            match row.sensor {
                None => missing.push(said),
                Some(found) => {
                    if note_refused(
                        turn.change_again(&sensor(row.sensor_id, found), &said).await,
                        row.sensor_id,
                    )? {
                        changed += 1;
                    }
                }
            }
        }
        missing.sort_unstable_by_key(|sensor| sensor.sensor_id);
        let restored = restore_all(turn, &missing).await?;
        if let Some(&largest) = restored.last() {
            turn.skip_ids(largest).await?;
        }
        turn.tell_again(&lost.deletions).await?;
        metrics::counter!(SENSORS_RESTORED).increment(restored.len() as u64);
        if !restored.is_empty() || changed > 0 || !lost.deletions.is_empty() {
            tracing::warn!(
                restored = restored.len(),
                sensors = named(&restored),
                changed,
                deletions_lost = named(&lost.deletions),
                "the database had lost sensors, as by a failover to a standby that was behind: they are there again, with \
                 their ids; a sensor whose deletion was lost is there as before it"
            );
        }
        Ok(())
    }
}

/// All at once, or, where the database has something against one of them, one by one; the ids of those that are there.
async fn restore_all(turn: &mut KeepingTurn<'_>, missing: &[Sensor]) -> Result<Vec<i32>, RecordsError> {
    /// At a time.
    const SENSORS_MAX: usize = 1_000;
    let mut restored = Vec::with_capacity(missing.len());
    for sensors in missing.chunks(SENSORS_MAX) {
        match turn.restore(sensors).await {
            Ok(()) => restored.extend(sensors.iter().map(|sensor| sensor.sensor_id)),
            Err(error) if !error.is_of_a_row() => return Err(error.into()),
            Err(_) => {
                for one in sensors {
                    if note_refused(turn.restore(std::slice::from_ref(one)).await, one.sensor_id)? {
                        restored.push(one.sensor_id);
                    }
                }
            }
        }
    }
    Ok(restored)
}

/// Whether it was done; one that the database refuses is named and left.
fn note_refused(outcome: Result<(), StoreError>, sensor_id: i32) -> Result<bool, RecordsError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.is_of_a_row() => {
            tracing::error!(
                sensor_id,
                error = error.server_message(),
                "the database refuses a sensor that it had lost: its readings become dead letters, which can be replayed \
                 once it is there"
            );
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the topic says and the table does not, apart from what the topic is still to be told.
fn lost(latest: &HashMap<i32, Latest>, compared: Vec<Compared>) -> Lost {
    let mut lost = Lost::default();
    for row in compared.into_iter().filter(|row| !row.has_changed) {
        let Some(&said) = latest.get(&row.sensor_id) else { continue };
        match (said.fingerprint, row.sensor.as_ref().map(Description::fingerprint)) {
            (Some(said_to_be), is) if is != Some(said_to_be) => lost.sensors.push((said, row)),
            (None, Some(_)) => lost.deletions.push(row.sensor_id),
            (Some(_), _) | (None, None) => {}
        }
    }
    lost
}

fn sensor(sensor_id: i32, Description { sensor_type, description, location }: Description) -> Sensor {
    Sensor { sensor_id, sensor_type, description, location }
}

fn named(ids: &[i32]) -> String {
    const NAMED_AT_MOST: usize = 20;
    let mut some: Vec<String> = ids.iter().take(NAMED_AT_MOST).map(i32::to_string).collect();
    if ids.len() > NAMED_AT_MOST {
        some.push(format!("… ({} in all)", ids.len()));
    }
    some.join(", ")
}

impl LostSensors for SensorRecords {
    fn bring_back<'s>(&'s self, unknown: &'s [i32]) -> BoxFuture<'s, Result<bool, StoreError>> {
        Box::pin(async move {
            match self.topic.read_to_end().await {
                Ok(()) => {}
                // What was never there, or may not be read, is not waited for.
                Err(UnreadError::Unreadable { .. }) => return Ok(false),
                Err(error) => return Err(StoreError::of_another("reading the topic of sensors", error)),
            }
            if !unknown.iter().any(|&id| self.topic.registry().has(id)) {
                return Ok(false);
            }
            match self.keep().await {
                Ok(()) => Ok(true),
                Err(RecordsError::Store(error)) if error.is_missing_right() => Ok(false),
                Err(RecordsError::Store(error)) => Err(error),
                Err(error) => Err(StoreError::of_another("making lost sensors again", error)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(what: &str) -> Description {
        Description { sensor_type: what.to_owned(), description: None, location: None }
    }

    fn row(sensor_id: i32, what: Option<&str>, has_changed: bool) -> Compared {
        Compared { sensor_id, sensor: what.map(described), has_changed }
    }

    #[test]
    fn what_the_table_has_lost_is_told_from_what_the_topic_does_not_know_yet() {
        let said = |what: Option<&str>| Latest {
            offset: 0,
            fingerprint: what.map(|what| described(what).fingerprint()),
        };
        let latest: HashMap<i32, Latest> = [
            (1, said(Some("same"))),
            (2, said(Some("missing"))),
            (3, said(Some("newer"))),
            (4, said(None)),
            (5, said(None)),
            (6, said(Some("deleted since"))),
            (7, said(Some("changed since"))),
        ]
        .into();
        let compared = vec![
            row(1, Some("same"), false),
            row(2, None, false),
            row(3, Some("older"), false),
            row(4, None, false),
            row(5, Some("back"), false),
            row(6, None, true),
            row(7, Some("newest"), true),
        ];
        let lost = lost(&latest, compared);
        let ids: Vec<i32> = lost.sensors.iter().map(|(_, row)| row.sensor_id).collect();
        assert_eq!((ids, lost.deletions), (vec![2, 3], vec![5]));
    }

    #[test]
    fn many_ids_are_counted() {
        assert_eq!(named(&[4, 9]), "4, 9");
        assert!(named(&(1..=30).collect::<Vec<_>>()).ends_with("20, … (30 in all)"));
    }
}
