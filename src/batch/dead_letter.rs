//! What can never be stored, and what is kept of it.

use std::collections::BTreeMap;

use super::{Batch, Header};
use crate::reading::{
    Reason, Timestamp, Window,
    decode::{Place, Reject, decode, extract_all},
};

/// A reading, or a record, that can never be stored.
#[derive(Clone, Debug)]
pub struct Rejected {
    pub(super) record: u32,
    pub(super) place: Place,
    pub(super) reject: Reject,
    /// The reading's time, where it is known.
    pub(super) time: Option<Timestamp>,
}

impl Rejected {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.reject.reason
    }

    /// Why, for people. Without NUL, which Postgres has no place for.
    pub fn detail(&self) -> String {
        self.reject.detail.replace('\0', "\u{fffd}")
    }
}

/// All that `dead_letters` keeps of a rejected reading.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Index of the reading in the record; none where the record as a whole counts.
    pub item: Option<i32>,
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub detail: String,
    /// The record's own timestamp; none where it has none.
    pub record_time: Option<Timestamp>,
    /// The time of a reading without a timestamp, where it was given one.
    pub reading_time: Option<Timestamp>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// A record that holds just this reading, in the topic's format where it has one.
    pub payload: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<Header>,
}

impl Batch {
    /// What `dead_letters` keeps of rejected readings, in their order. Each of their records is read once for it.
    ///
    /// A reading without a timestamp keeps the time that it was given, so that a replay stores it there.
    pub fn dead_letters(&self, rejected: &[Rejected]) -> Vec<DeadLetter> {
        let mut payloads = self.payloads(rejected);
        let letter = |rejected: &Rejected| {
            let record = &self.records[rejected.record as usize];
            let key_end = record.start + record.key.unwrap_or(0) as usize;
            let payload = payloads.remove(&(rejected.record, rejected.place.index()));
            let is_untimed = || record.has_untimed && payload.as_deref().is_some_and(lacks_timestamp);
            DeadLetter {
                partition: record.partition,
                offset: record.offset,
                item: match rejected.place {
                    Place::Whole => None,
                    Place::Item(index) => Some(index as i32),
                },
                reason: rejected.reject.reason,
                detail: rejected.detail(),
                record_time: record.timestamp,
                reading_time: rejected.time.filter(|_| is_untimed()),
                key: record.key.map(|_| self.bytes[record.start..key_end].to_vec()),
                payload,
                headers: record.headers.as_deref().unwrap_or_default().to_vec(),
            }
        };
        rejected.iter().map(letter).collect()
    }

    /// The rejected readings alone, by record and index; of a record without a value there is none.
    fn payloads(&self, rejected: &[Rejected]) -> BTreeMap<(u32, u32), Vec<u8>> {
        let mut places: BTreeMap<u32, Vec<Place>> = BTreeMap::new();
        for one in rejected {
            places.entry(one.record).or_default().push(one.place);
        }
        let mut payloads = BTreeMap::new();
        for (index, places) in places {
            let record = &self.records[index as usize];
            let Some(length) = record.payload else { continue };
            let start = record.start + record.key.unwrap_or(0) as usize;
            let alone = extract_all(&self.bytes[start..start + length as usize], &places);
            payloads.extend(places.iter().map(|place| (index, place.index())).zip(alone));
        }
        payloads
    }
}

/// Whether a record of one reading leaves its time to the record.
fn lacks_timestamp(payload: &[u8]) -> bool {
    const ANY_TIME: Window =
        Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
    let mut lacks = false;
    let mut untimed = |_, _| {
        lacks = true;
        Ok(Timestamp::from_micros(0))
    };
    // What else is against it is known already.
    decode(payload, &mut untimed, &ANY_TIME, &mut |_| {});
    lacks
}
