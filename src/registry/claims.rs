//! Ids that somebody here is about to take.
//!
//! A sequence that went back with its database gives out ids again that others have; two servers that both take
//! themselves for the primary give out the same ones. Whose record comes first has the id.

use std::collections::HashMap;

use super::{Registry, SensorRecord};

/// A larger jump of ids would be to a stray one, rather than over those that were given out since the sequence went back.
const JUMP_AT_MOST: i32 = 1_000_000;

/// Somebody else has one of the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The next id to try is above this one.
    pub up_to: i32,
}

/// By id, the records of it that were read since it was claimed.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<i32, Vec<(i64, SensorRecord)>>);

impl Claims {
    pub(super) fn note(&mut self, offset: i64, record: SensorRecord) {
        if let Some(seen) = self.0.get_mut(&record.sensor_id) {
            seen.push((offset, record));
        }
    }
}

impl Registry {
    /// Begins to take these ids, unless one of them is taken already: before their records are published.
    pub fn claim(&mut self, sensor_ids: &[i32]) -> Result<(), Taken> {
        if sensor_ids.iter().any(|id| self.latest(*id).is_some() || self.claims.0.contains_key(id)) {
            return Err(self.taken(sensor_ids));
        }
        self.claims.0.extend(sensor_ids.iter().map(|&id| (id, Vec::new())));
        Ok(())
    }

    /// Ends the claim of an id whose record of ours is at an offset, up to which the topic has been read: none where the
    /// id is ours, else what the one is that has it. After a claim that came to nothing there is no such offset.
    pub fn end_claim(&mut self, sensor_id: i32, offset: Option<i64>) -> Option<SensorRecord> {
        let seen = self.claims.0.remove(&sensor_id).unwrap_or_default();
        let offset = offset?;
        seen.into_iter().take_while(|(at, _)| *at < offset).last().map(|(_, record)| record)
    }

    /// Where ids are free, after some of these proved not to be.
    pub fn taken(&self, sensor_ids: &[i32]) -> Taken {
        let largest = sensor_ids.iter().copied().max().unwrap_or_default();
        Taken { up_to: self.largest_near(largest, JUMP_AT_MOST) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Description, *};

    fn record(sensor_id: i32, what: &str) -> SensorRecord {
        let sensor = Description { sensor_type: what.to_owned(), description: None, location: None };
        SensorRecord { sensor_id, sensor: Some(sensor) }
    }

    #[test]
    fn the_first_record_has_the_id() {
        let mut registry = Registry::default();
        registry.claim(&[7, 8]).unwrap();
        registry.note(0, record(7, "theirs"));
        registry.note(1, record(7, "ours"));
        registry.note(2, record(8, "ours"));
        registry.note(3, record(8, "theirs, and too late"));
        assert_eq!(registry.end_claim(7, Some(1)), Some(record(7, "theirs")));
        assert_eq!(registry.end_claim(8, Some(2)), None);
    }

    #[test]
    fn an_id_that_was_ever_taken_is_taken() {
        let mut registry = Registry::default();
        registry.note(0, record(7, "a sensor"));
        registry.note(1, SensorRecord { sensor_id: 9, sensor: None });
        registry.note(2, record(2_000_000, "made by hand, with a number of its own"));
        assert_eq!(registry.claim(&[7]), Err(Taken { up_to: 9 }));
        assert_eq!(registry.claim(&[8, 9]), Err(Taken { up_to: 9 }), "deleted ids are not given out again");
        assert_eq!(registry.claim(&[10]), Ok(()));
        assert_eq!(registry.claim(&[10]), Err(Taken { up_to: 10 }), "under way already");
        assert_eq!(registry.end_claim(10, None), None);
        assert_eq!(registry.claim(&[10]), Ok(()));
    }

    #[test]
    fn what_was_read_before_a_claim_ends_is_seen_by_it_whenever_its_own_record_is_read() {
        let mut registry = Registry::default();
        registry.claim(&[1]).unwrap();
        registry.note(4, record(1, "made"));
        registry.note(5, record(1, "changed"));
        registry.note(9, record(1, "ours"));
        assert_eq!(
            registry.end_claim(1, Some(9)),
            Some(record(1, "changed")),
            "the one that has it as it is now"
        );
    }
}
