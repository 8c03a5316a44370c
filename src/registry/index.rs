//! What has been read of the topic.

use std::collections::HashMap;

use super::{SensorRecord, claims::Claims};

/// The record of an id that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Where it is: the last state, or the claim that took the id.
    pub offset: i64,
    /// The fingerprint of what is said of the sensor; none where it was deleted.
    pub fingerprint: Option<u64>,
}

/// Every id that was ever taken, as far as the topic has been read. Of each some 40 bytes are kept, not its description.
#[derive(Debug, Default)]
pub struct Registry {
    latest: HashMap<i32, Latest>,
    next_offset: i64,
    pub(super) claims: Claims,
}

impl Registry {
    /// Takes note of a record, in the order of offsets.
    pub fn note(&mut self, offset: i64, record: &SensorRecord) {
        let fingerprint = record.sensor.as_ref().map(super::Description::fingerprint);
        let latest = Latest { offset, fingerprint };
        match record.claim {
            None => {
                self.latest.insert(record.sensor_id, latest);
            }
            Some(claim) => {
                let is_first = !self.latest.contains_key(&record.sensor_id);
                if is_first {
                    self.latest.insert(record.sensor_id, latest);
                }
                self.claims.note(record.sensor_id, claim, is_first);
            }
        }
        self.note_end(offset + 1);
    }

    /// Takes note that there is nothing more below an offset.
    pub fn note_end(&mut self, offset: i64) {
        self.next_offset = self.next_offset.max(offset);
    }

    /// Forgets what was read: the topic is another one.
    pub fn forget(&mut self) {
        (self.latest, self.next_offset) = (HashMap::new(), 0);
    }

    /// Up to where the topic has been read.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The record of an id that counts.
    pub fn latest(&self, sensor_id: i32) -> Option<Latest> {
        self.latest.get(&sensor_id).copied()
    }

    /// Whether there is such a sensor.
    pub fn has(&self, sensor_id: i32) -> bool {
        self.latest(sensor_id).is_some_and(|latest| latest.fingerprint.is_some())
    }

    /// The ids of all sensors that there are.
    pub fn sensors(&self) -> impl Iterator<Item = i32> + '_ {
        self.latest.iter().filter(|(_, latest)| latest.fingerprint.is_some()).map(|(&sensor_id, _)| sensor_id)
    }

    /// The ids whose last record is at an offset or after it.
    pub fn since(&self, offset: i64) -> Vec<(i32, Latest)> {
        let pairs = self.latest.iter().map(|(&sensor_id, &latest)| (sensor_id, latest));
        let mut found: Vec<_> = pairs.filter(|(_, latest)| latest.offset >= offset).collect();
        found.sort_unstable_by_key(|&(sensor_id, _)| sensor_id);
        found
    }

    /// The largest id that is taken and at most so far above another.
    pub(super) fn largest_near(&self, sensor_id: i32, distance: i32) -> i32 {
        let near = |id: &i32| *id > sensor_id && id.saturating_sub(sensor_id) <= distance;
        self.latest.keys().copied().filter(near).max().unwrap_or(sensor_id)
    }
}
