//! What can never be stored, and what is kept of it.

use super::Header;
use crate::reading::{
    Reason, Timestamp, Window,
    decode::{Place, Reject, decode},
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

/// Whether a record of one reading leaves its time to the record.
pub(super) fn lacks_timestamp(payload: &[u8]) -> bool {
    const ANY_TIME: Window =
        Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
    let mut lacks = false;
    let mut untimed = |_, _| {
        lacks = true;
        Ok(Timestamp::from_micros(0))
    };
    // What else is against it is known already.
    let _ = decode(payload, &mut untimed, &ANY_TIME, &mut |_, _| {});
    lacks
}
