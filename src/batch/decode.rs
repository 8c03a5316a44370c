//! A record's readings, taken into the batch.

use std::cell::Cell;

use super::{
    Batch, Record, RejectedGroup, Row,
    dead_letter::{bytes_of_headers, dead_letters_max_bytes},
    offset_after,
    rejected::Rejecting,
};
use crate::reading::{
    Reason, Timestamp, Window,
    decode::{Decoded, Place, Reject, Source, decode, decode_with_source},
    untimed::GivenTimes,
};

impl Batch {
    /// Whether a reading was given its time.
    pub(super) fn decode(
        &mut self,
        record: &Record<'_>,
        index: u32,
        window: &Window,
        given: &mut GivenTimes,
    ) -> bool {
        let mut time_of = given.of_record(record.timestamp);
        let payload = record.payload.unwrap_or_default();
        let rows = &mut self.rows;
        let beside = record.key.map_or(0, <[u8]>::len) + bytes_of_headers(&record.headers);
        let mut rejecting =
            Rejecting::new(index, &mut self.rejected, dead_letters_max_bytes(payload.len() + beside));
        if payload.len() > self.limits.max_record_bytes {
            let (length, most) = (payload.len(), self.limits.max_record_bytes);
            let reject = Reject::new(Reason::TooLarge, format!("{length} bytes, {most} at most"));
            rejecting.push(Place::Whole, reject, None, (0, Vec::new));
            return false;
        }
        // Of the reading that is being decoded.
        let given_time = Cell::new(None);
        let mut has_untimed = false;
        let mut untimed = |sensor_id, place| {
            let time = time_of(sensor_id, place)?;
            has_untimed = true;
            given_time.set(Some(time));
            Ok(time)
        };
        decode_with_source(payload, &mut untimed, window, &mut |decoded, source: Option<Source<'_>>| {
            let time = given_time.take();
            match decoded {
                Decoded::Reading(place, Ok(reading)) => rows.push(Row::new(&reading, index, place)),
                Decoded::Reading(place, Err(reject)) => {
                    let bytes = beside + source.map_or(0, |source| source.record_bytes());
                    let alone = || source.map_or_else(Vec::new, |source| source.record());
                    rejecting.push(place, reject, time, (bytes, alone));
                }
                Decoded::TakeBack(first) => {
                    let stays = |row: &&Row| row.record != index || row.place.index() < first;
                    let gone = rows.iter().rev().take_while(|row| !stays(row)).count();
                    rows.truncate(rows.len() - gone);
                    rejecting.take_back(first);
                }
            }
        });
        let (group, cut_bytes) = rejecting.finish();
        self.cut_bytes += cut_bytes;
        self.keep_group(index, group);
        has_untimed
    }

    fn keep_group(&mut self, record: u32, group: RejectedGroup) {
        if !group.is_empty() {
            self.grouped += group.readings();
            self.groups.push((record, group));
        }
    }

    /// Takes in those of a record's readings that a dead letter of many stands for. None, and nothing is taken in, where the
    /// record does not have as many of them: it is cut in another way by now.
    ///
    /// Readings that are not tried this time are set aside in their places.
    pub fn push_part(
        &mut self,
        record: &Record<'_>,
        window: &Window,
        part: &PartToDecode<'_>,
    ) -> Option<Taken> {
        let index = self.records.len() as u32;
        let payload = record.payload.unwrap_or_default();
        let first_row = self.rows.len();
        let (rows, mut group, mut next) = (&mut self.rows, RejectedGroup::default(), None);
        let mut untimed = |_, place: Place| {
            (part.time_of)(place.index()).ok_or_else(|| {
                let detail = "neither the reading nor its record says when it was measured";
                Reject::new(Reason::InvalidTimestamp, detail)
            })
        };
        decode(payload, &mut untimed, window, &mut |decoded| match decoded {
            Decoded::Reading(place, _) if !(part.has)(place.index()) => {}
            Decoded::Reading(place, Ok(_)) if place.index() < part.first => {
                group.push(place, &(part.refused_before)(place.index()), None);
            }
            Decoded::Reading(place, Ok(_)) if rows.len() - first_row == part.most => {
                next.get_or_insert(place.index());
                group.push(place, &Reject::new(part.reason, "the replay has not come to it"), None);
            }
            Decoded::Reading(place, Ok(reading)) => rows.push(Row::new(&reading, index, place)),
            Decoded::Reading(place, Err(reject)) => group.push(place, &reject, None),
            Decoded::TakeBack(first) => {
                let is_gone = |row: &&Row| row.place.index() >= first;
                let gone = rows[first_row..].iter().rev().take_while(is_gone).count();
                rows.truncate(rows.len() - gone);
                group.take_back(first);
                next = next.filter(|next| *next < first);
            }
        });
        if self.rows.len() - first_row + group.readings() != part.readings {
            self.rows.truncate(first_row);
            return None;
        }
        self.keep_group(index, group);
        self.keep(record, false);
        self.advance(record.partition, record.offset, offset_after(record.offset));
        Some(Taken { next })
    }
}

/// Readings of a record that a dead letter of many stands for, and which of them are tried.
pub struct PartToDecode<'a> {
    /// How many there are.
    pub readings: usize,
    /// Whether the one at this place is one of them.
    pub has: &'a dyn Fn(u32) -> bool,
    /// The time that the one at this place was given when it was read first.
    pub time_of: &'a dyn Fn(u32) -> Option<Timestamp>,
    /// Why it is refused as long as it is not tried.
    pub reason: Reason,
    /// Those from this place on are tried,
    pub first: u32,
    /// so many at most.
    pub most: usize,
    /// Why the one at this place, before `first`, was refused when it was tried.
    pub refused_before: &'a dyn Fn(u32) -> Reject,
}

/// How far a dead letter's readings are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The first place that is not tried; none where all are.
    pub next: Option<u32>,
}
