//! What is kept of readings that can never be stored.

use super::{Batch, Header, Kept, Rejected, RejectedGroup, RejectedOfRecord};
use crate::reading::{
    Reason, Timestamp, Window,
    decode::{Place, decode, extract_within},
};

/// Dead letters of one record may hold so many times its bytes together,
const RECORD_DEAD_LETTERS_TIMES: usize = 8;
/// of a large one its own bytes and so many,
const RECORD_DEAD_LETTERS_MOST: usize = 16 << 20;
/// and these besides: key, headers and what stands beside a list are in each of them. Past that they are one letter.
const RECORD_DEAD_LETTERS_BYTES: usize = 256 << 10;
/// A shorter record, with its key, has no more than a hundred readings, and their dead letters never hold that much.
const RECORD_OF_MANY_BYTES_MIN: usize = 256;

/// All that `dead_letters` keeps of a rejected reading, or of many readings of one record.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Index of the reading in the record; none where the record as a whole counts, and of many readings.
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
    /// A record that holds just this reading, in the topic's format where it has one; of many readings the record as it
    /// came.
    pub payload: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<Header>,
    /// The readings, where they are many.
    pub many: Option<RejectedGroup>,
}

impl DeadLetter {
    /// Bytes of what a record says.
    pub fn byte_count(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        length(&self.key) + length(&self.payload) + bytes_of_headers(&self.headers)
    }
}

impl Batch {
    /// What `dead_letters` keeps of these readings and of those that decoding found too many, in the order of the log.
    pub fn dead_letters(&self, rejected: &[Rejected]) -> Vec<DeadLetter> {
        let records = self.rejected_by_record(rejected);
        records.iter().flat_map(|(record, rejected)| self.dead_letters_of_record(*record, rejected)).collect()
    }

    /// What `dead_letters` keeps of one record's rejected readings: a dead letter for each, or one for all of them.
    ///
    /// A reading without a timestamp keeps the time that it was given, so that a replay stores it there.
    pub fn dead_letters_of_record(&self, record: u32, rejected: &RejectedOfRecord<'_>) -> Vec<DeadLetter> {
        let kept = &self.records[record as usize];
        let payloads = if rejected.are_many() { None } else { self.payloads(kept, &rejected.few) };
        let Some(payloads) = payloads else {
            return vec![self.dead_letter_of_many(kept, rejected.together())];
        };
        let letter = |(rejected, payload): (&&Rejected, Option<Vec<u8>>)| {
            let is_untimed = || kept.has_untimed && payload.as_deref().is_some_and(lacks_timestamp);
            let alike = self.letter_of(kept, rejected.reason(), rejected.detail());
            DeadLetter {
                item: match rejected.place {
                    Place::Whole => None,
                    Place::Item(index) => Some(index as i32),
                },
                reading_time: rejected.time.filter(|_| is_untimed()),
                payload,
                ..alike
            }
        };
        rejected.few.iter().zip(payloads).map(letter).collect()
    }

    /// One dead letter for all of a record's rejected readings, however few they are.
    pub fn dead_letter_for_all(&self, record: u32, rejected: &RejectedOfRecord<'_>) -> DeadLetter {
        self.dead_letter_of_many(&self.records[record as usize], rejected.together())
    }

    /// Whether a record of these can have had more rejected readings than have a dead letter each.
    pub fn may_have_dead_letters_of_many(&self) -> bool {
        let bytes = |kept: &Kept| {
            let headers = bytes_of_headers(kept.headers.as_deref().unwrap_or_default());
            kept.key.unwrap_or(0) as usize + kept.payload.unwrap_or(0) as usize + headers
        };
        self.records.iter().any(|kept| bytes(kept) >= RECORD_OF_MANY_BYTES_MIN)
    }

    fn dead_letter_of_many(&self, kept: &Kept, mut many: RejectedGroup) -> DeadLetter {
        if !kept.has_untimed {
            many.forget_times();
        }
        let alike = self.letter_of(kept, many.reason(), many.detail());
        DeadLetter { payload: self.payload(kept).map(<[u8]>::to_vec), many: Some(many), ..alike }
    }

    /// What all dead letters of a record have in common.
    fn letter_of(&self, kept: &Kept, reason: Reason, detail: String) -> DeadLetter {
        let key = kept.key.map(|length| self.bytes[kept.start..kept.start + length as usize].to_vec());
        DeadLetter {
            partition: kept.partition,
            offset: kept.offset,
            item: None,
            reason,
            detail,
            record_time: kept.timestamp,
            reading_time: None,
            key,
            payload: None,
            headers: kept.headers.as_deref().unwrap_or_default().to_vec(),
            many: None,
        }
    }

    fn payload(&self, kept: &Kept) -> Option<&[u8]> {
        let start = kept.start + kept.key.unwrap_or(0) as usize;
        kept.payload.map(|length| &self.bytes[start..start + length as usize])
    }

    /// The rejected readings alone; of a record without a value there is none. None at all where they would hold too
    /// much together.
    ///
    /// What was refused while it was decoded has been cut out then. For what was good by then, the record is read once
    /// more, for all of them.
    fn payloads(&self, kept: &Kept, rejected: &[&Rejected]) -> Option<Vec<Option<Vec<u8>>>> {
        let Some(payload) = self.payload(kept) else { return Some(vec![None; rejected.len()]) };
        let headers = kept.headers.as_deref().unwrap_or_default();
        let beside = kept.key.unwrap_or(0) as usize + bytes_of_headers(headers);
        let most_bytes = dead_letters_max_bytes(payload.len() + beside);
        let cut_before = |one: &&Rejected| one.place == Place::Whole || one.alone.is_some();
        let bytes_before = rejected.iter().filter_map(|one| one.alone.as_ref()).map(|alone| alone.len());
        let bytes = bytes_before.sum::<usize>() + beside * rejected.len();
        let later: Vec<Place> = rejected.iter().filter(|one| !cut_before(one)).map(|one| one.place).collect();
        let is_one = rejected.len() == 1;
        let left = if is_one { usize::MAX } else { most_bytes.checked_sub(bytes)? };
        let mut cut_now = extract_within(payload, &later, left)?.into_iter();
        let alone = |one: &&Rejected| match &one.alone {
            Some(alone) => Some(alone.to_vec()),
            None if one.place == Place::Whole => Some(payload.to_vec()),
            None => cut_now.next(),
        };
        Some(rejected.iter().map(alone).collect())
    }
}

/// What dead letters of a record with so many bytes may hold together.
pub(super) fn dead_letters_max_bytes(record_bytes: usize) -> usize {
    let times = record_bytes.saturating_mul(RECORD_DEAD_LETTERS_TIMES);
    times.min(record_bytes + RECORD_DEAD_LETTERS_MOST) + RECORD_DEAD_LETTERS_BYTES
}

pub(super) fn bytes_of_headers(headers: &[Header]) -> usize {
    headers.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
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
