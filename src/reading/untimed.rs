//! The time of a reading without a timestamp: a function of the log alone.
//!
//! ```text
//! base = the record's own timestamp + the reading's place in the record, in microseconds
//! time = base, or 1 us after the sensor's last such time where base does not lie after it
//! ```
//!
//! So readings of one record differ, and so do those of records with the same timestamp: a producer's tight loop, or a
//! whole batch on a topic with `message.timestamp.type=LogAppendTime`. The clock, the batches, a restart and a rebalance
//! have no part in it: whoever reads the log again, or audits it, computes the same times, and finds the same rows.
//!
//! What is remembered, for each partition, is the last time given to each sensor, in [`GivenTimes`]. It is stored beside
//! the offset, in the same transaction, and it is bounded:
//!
//! - Where the sensor's last time lies a second or more after `base`, it has no effect: a clock that was set back does
//!   not move readings by more than a second.
//! - A sensor is forgotten once the log's time is 10 ms past its last time, except for the 64 seen last: producers whose
//!   clocks differ take turns in a partition. It is forgotten in any case once they are a minute apart. While readings
//!   carry timestamps, nothing is remembered.
//! - At most 4,096 sensors are remembered. Past that the one that was seen longest ago is forgotten.
//!
//! A sensor's readings have to be in one partition, as records keyed by sensor are: other partitions know nothing of the
//! times given in this one.

use std::collections::{BTreeMap, HashMap};

use super::{
    Reason, Timestamp,
    decode::{Place, Reject},
};

/// A last time so far after a reading's own has no effect on it.
const REACH_MICROS: i64 = 1_000_000;
/// How far the log's time may be past a sensor's last time before the sensor is forgotten.
const RECENT_MICROS: i64 = 10_000;
/// So many sensors are remembered for longer than that.
const KEPT_FOR_LONGER: usize = 64;
/// But no longer than this.
const LONGEST_MICROS: i64 = 60_000_000;
/// Most sensors that are remembered.
const SENSORS_MAX: usize = 4_096;
/// Of the encoding.
const VERSION: u8 = 1;

/// The last time that was given to each sensor whose readings come without a timestamp; of one partition.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(from = "Vec<(i32, i64)>", into = "Vec<(i32, i64)>")]
pub struct GivenTimes {
    /// When each sensor was seen last, as a key of `by_turn`.
    turns: HashMap<i32, u64>,
    /// Sensors and the times they were given last, the one seen longest ago first.
    by_turn: BTreeMap<u64, (i32, Timestamp)>,
    next_turn: u64,
}

impl GivenTimes {
    /// Begins a record; what is returned says for each of its readings without a timestamp, in the record's order, which
    /// time it has. Without a timestamp of the record's own there is none.
    ///
    /// Called for each record of the log, also for those whose readings all have timestamps.
    pub fn of_record(
        &mut self,
        record_time: Option<Timestamp>,
    ) -> impl FnMut(i32, Place) -> Result<Timestamp, Reject> {
        if let Some(record_time) = record_time {
            self.forget(record_time);
        }
        move |sensor_id, place| {
            let record_time = record_time.ok_or_else(|| {
                Reject::new(
                    Reason::InvalidTimestamp,
                    "neither the reading nor its record has a timestamp (the record's is -1)",
                )
            })?;
            Ok(self.give(record_time, sensor_id, place))
        }
    }

    /// The bytes that are stored beside this offset. Never the same for two offsets: bytes that stay the same tell that
    /// whoever moved the offset did not know of them.
    pub fn to_bytes(&self, next_offset: i64) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        write(&mut bytes, next_offset);
        let mut before = 0;
        for &(sensor_id, time) in self.by_turn.values() {
            write(&mut bytes, sensor_id.into());
            write(&mut bytes, time.micros().wrapping_sub(before));
            before = time.micros();
        }
        bytes
    }

    /// Reads what is stored beside this offset. Nothing is remembered where that belongs to another offset, or is of a
    /// version that is not known here.
    pub fn from_bytes(bytes: Option<&[u8]>, next_offset: i64) -> Self {
        bytes.and_then(|bytes| Self::read(bytes, next_offset)).unwrap_or_default()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.by_turn.is_empty()
    }

    fn read(bytes: &[u8], next_offset: i64) -> Option<Self> {
        let (&VERSION, mut rest) = bytes.split_first()? else { return None };
        if read(&mut rest)? != next_offset {
            return None;
        }
        let (mut given, mut before) = (Self::default(), 0_i64);
        while !rest.is_empty() {
            let sensor_id = i32::try_from(read(&mut rest)?).ok()?;
            before = before.wrapping_add(read(&mut rest)?);
            given.note(sensor_id, Timestamp::from_micros(before));
        }
        Some(given)
    }

    fn give(&mut self, record_time: Timestamp, sensor_id: i32, place: Place) -> Timestamp {
        let base = record_time.plus_micros(place.index().into());
        let time = match self.last(sensor_id) {
            Some(last) if base <= last && last < base.plus_micros(REACH_MICROS) => last.plus_micros(1),
            _ => base,
        };
        self.note(sensor_id, time);
        self.forget(record_time);
        time
    }

    fn last(&self, sensor_id: i32) -> Option<Timestamp> {
        let turn = self.turns.get(&sensor_id)?;
        self.by_turn.get(turn).map(|&(_, last)| last)
    }

    fn note(&mut self, sensor_id: i32, time: Timestamp) {
        if let Some(before) = self.turns.insert(sensor_id, self.next_turn) {
            self.by_turn.remove(&before);
        }
        self.by_turn.insert(self.next_turn, (sensor_id, time));
        self.next_turn += 1;
    }

    /// Forgets from the front, as long as what is there may go.
    fn forget(&mut self, record_time: Timestamp) {
        while let Some(front) = self.by_turn.first_entry() {
            let (sensor_id, last) = *front.get();
            let past = record_time.micros().saturating_sub(last.micros());
            let kept = match self.turns.len() {
                0..=KEPT_FOR_LONGER => -LONGEST_MICROS..=LONGEST_MICROS,
                _ => -REACH_MICROS..=RECENT_MICROS,
            };
            let stays = self.turns.len() <= SENSORS_MAX && kept.contains(&past);
            if stays {
                return;
            }
            front.remove();
            self.turns.remove(&sensor_id);
        }
    }
}

/// Sensors and microseconds, the one seen longest ago first.
impl From<GivenTimes> for Vec<(i32, i64)> {
    fn from(given: GivenTimes) -> Self {
        given.by_turn.values().map(|&(sensor_id, time)| (sensor_id, time.micros())).collect()
    }
}

impl From<Vec<(i32, i64)>> for GivenTimes {
    fn from(times: Vec<(i32, i64)>) -> Self {
        let mut given = Self::default();
        for (sensor_id, micros) in times {
            given.note(sensor_id, Timestamp::from_micros(micros));
        }
        given
    }
}

/// Equal are those that go on equally.
impl PartialEq for GivenTimes {
    fn eq(&self, other: &Self) -> bool {
        self.by_turn.values().eq(other.by_turn.values())
    }
}

impl Eq for GivenTimes {}

/// A zigzag varint, as protocol buffers have it.
fn write(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn read(bytes: &mut &[u8]) -> Option<i64> {
    let mut zigzag = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()));
        }
    }
    None
}

#[cfg(test)]
mod tests;
