//! What can never be stored: one reading at a time, or many readings of one record together.

use std::{collections::BTreeMap, iter, sync::Arc};

use super::Batch;
use crate::reading::{
    Reason, Timestamp,
    decode::{Place, Reject},
};

/// Most dead letters of one record; past that its rejected readings have one dead letter together. A thousand is more
/// than anybody works through one by one, is written by one statement, and is what a replay takes in one transaction.
pub const RECORD_DEAD_LETTERS_MAX: usize = 1_000;

/// A reading, or a record, that can never be stored.
#[derive(Clone, Debug)]
pub struct Rejected {
    pub(super) record: u32,
    pub(super) place: Place,
    pub(super) reject: Reject,
    /// The reading's time, where it is known.
    pub(super) time: Option<Timestamp>,
    /// A record that holds just this reading, as decoding has cut it out; none where that is the record itself, and for
    /// a reading that was refused after decoding.
    pub(super) alone: Option<Arc<[u8]>>,
}

impl Rejected {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.reject.reason
    }

    /// Why, for people. Without NUL, which Postgres has no place for.
    pub fn detail(&self) -> String {
        without_nul(&self.reject.detail)
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Rejected readings of one record that have one dead letter together: a few bytes for each of them, whatever they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectedGroup {
    /// Places, as the first and the last one of each run.
    runs: Vec<(u32, u32)>,
    /// Why, in the order of the places.
    reasons: Vec<Reason>,
    /// Times of readings that may have been given one, by place.
    times: Vec<(u32, Timestamp)>,
    /// What is wrong with the first one.
    first_detail: String,
}

impl RejectedGroup {
    fn of<'r>(rejected: impl IntoIterator<Item = &'r Rejected>) -> Self {
        let mut group = Self::default();
        for one in rejected {
            group.push(one.place, &one.reject, one.time);
        }
        group
    }

    /// Adds a reading that stands behind all that are in.
    pub(super) fn push(&mut self, place: Place, reject: &Reject, time: Option<Timestamp>) {
        if self.is_empty() {
            self.first_detail = without_nul(&reject.detail);
        }
        self.push_reason(place.index(), reject.reason, time);
    }

    fn push_reason(&mut self, place: u32, reason: Reason, time: Option<Timestamp>) {
        match self.runs.last_mut() {
            Some((_, last)) if *last + 1 == place => *last = place,
            Some(_) | None => self.runs.push((place, place)),
        }
        self.reasons.push(reason);
        self.times.extend(time.map(|time| (place, time)));
    }

    /// Forgets the readings from this place on.
    pub(super) fn take_back(&mut self, first: u32) {
        while let Some((start, last)) = self.runs.last_mut() {
            let gone = *last + 1 - first.clamp(*start, *last + 1);
            self.reasons.truncate(self.reasons.len() - gone as usize);
            if first > *start {
                *last = (*last).min(first - 1);
                break;
            }
            self.runs.pop();
        }
        self.times.truncate(self.times.partition_point(|(place, _)| *place < first));
    }

    /// Nobody asks for them where each reading says its time itself.
    pub(super) fn forget_times(&mut self) {
        self.times.clear();
    }

    /// Whether no reading is left.
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    /// How many readings.
    pub fn readings(&self) -> usize {
        self.reasons.len()
    }

    /// Why, of each reading.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// The first and the last place of each run, one run behind the other.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        self.runs.iter().copied()
    }

    /// The readings by place, and why each was refused.
    pub fn places(&self) -> impl Iterator<Item = (u32, Reason)> {
        self.runs().flat_map(|(first, last)| first..=last).zip(self.reasons.iter().copied())
    }

    /// The times of readings that may have been given one, by place.
    pub fn times(&self) -> &[(u32, Timestamp)] {
        &self.times
    }

    /// The reason that the dead letter has: the most frequent one, of those that may pass later where there is such a one.
    pub fn reason(&self) -> Reason {
        let count =
            |reason: &Reason| (reason.may_pass_later() && self.count(*reason) > 0, self.count(*reason));
        Reason::ALL.into_iter().max_by_key(count).expect("there are reasons")
    }

    /// How many readings, why, and what is wrong with the first one.
    pub fn detail(&self) -> String {
        let counts = Reason::ALL.map(|reason| (self.count(reason), reason.as_str()));
        let mut counts: Vec<_> = counts.into_iter().filter(|(count, _)| *count > 0).collect();
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let counts: Vec<String> = counts.iter().map(|(count, reason)| format!("{count} {reason}")).collect();
        format!("{} readings: {}; the first one: {}", self.readings(), counts.join(", "), self.first_detail)
    }

    /// What is wrong with the first one.
    pub fn first_detail(&self) -> &str {
        &self.first_detail
    }

    fn count(&self, reason: Reason) -> usize {
        self.reasons.iter().filter(|other| **other == reason).count()
    }

    /// These and others, in the order of their places.
    fn and(&self, others: &[&Rejected]) -> Self {
        let mut both = Self::default();
        let mut others = others.iter().peekable();
        let mut times = self.times.iter().peekable();
        for (place, reason) in self.places() {
            while let Some(other) = others.next_if(|other| other.place.index() < place) {
                both.push(other.place, &other.reject, other.time);
            }
            if both.is_empty() {
                both.first_detail.clone_from(&self.first_detail);
            }
            let time = times.next_if(|(of, _)| *of == place).map(|(_, time)| *time);
            both.push_reason(place, reason, time);
        }
        others.for_each(|other| both.push(other.place, &other.reject, other.time));
        both
    }
}

/// All rejected readings of one record.
#[derive(Debug, Default)]
pub struct RejectedOfRecord<'r> {
    pub(super) few: Vec<&'r Rejected>,
    pub(super) many: Option<&'r RejectedGroup>,
}

impl RejectedOfRecord<'_> {
    /// Why, of each reading.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        let many = self.many.map_or(&[][..], RejectedGroup::reasons);
        self.few.iter().map(|one| one.reason()).chain(many.iter().copied())
    }

    /// Whether they are too many for a dead letter each.
    pub(super) fn are_many(&self) -> bool {
        self.many.is_some() || self.few.len() > RECORD_DEAD_LETTERS_MAX
    }

    /// Whether it is the record itself that was rejected, not readings of it.
    pub fn is_whole_record(&self) -> bool {
        self.few.iter().any(|one| one.place == Place::Whole)
    }

    /// All of them together.
    pub fn together(&self) -> RejectedGroup {
        let mut few = self.few.clone();
        few.sort_by_key(|one| one.place.index());
        match self.many {
            Some(group) if few.is_empty() => group.clone(),
            Some(group) => group.and(&few),
            None => RejectedGroup::of(few),
        }
    }
}

/// Rejected readings of the record that is being decoded: each for itself, until they are too many for that.
#[derive(Debug)]
pub(super) struct Rejecting<'b> {
    record: u32,
    each: &'b mut Vec<Rejected>,
    /// Where those of this record begin.
    start: usize,
    bytes_left: usize,
    /// Of the records of one reading that have been cut out.
    cut_bytes: usize,
    group: RejectedGroup,
}

impl<'b> Rejecting<'b> {
    /// `most_bytes` is what dead letters of the record may hold together.
    pub(super) fn new(record: u32, each: &'b mut Vec<Rejected>, most_bytes: usize) -> Self {
        let start = each.len();
        Self { record, each, start, bytes_left: most_bytes, cut_bytes: 0, group: RejectedGroup::default() }
    }

    /// Sets a reading aside; `alone` says how long a record with just this reading is, and makes it.
    pub(super) fn push(
        &mut self,
        place: Place,
        reject: Reject,
        time: Option<Timestamp>,
        alone: (usize, impl FnOnce() -> Vec<u8>),
    ) {
        if !self.group.is_empty() {
            return self.group.push(place, &reject, time);
        }
        let (bytes, alone) = alone;
        let has_room = self.each.len() - self.start < RECORD_DEAD_LETTERS_MAX && bytes <= self.bytes_left;
        // What counts as one is the record itself.
        if place == Place::Whole || has_room {
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            let alone: Option<Arc<[u8]>> = (place != Place::Whole).then(|| alone().into());
            self.cut_bytes += alone.as_ref().map_or(0, |alone| alone.len());
            self.each.push(Rejected { record: self.record, place, reject, time, alone });
        } else {
            self.group = RejectedGroup::of(&self.each[self.start..]);
            self.each.truncate(self.start);
            self.cut_bytes = 0;
            self.group.push(place, &reject, time);
        }
    }

    /// Forgets the readings from this place on.
    pub(super) fn take_back(&mut self, first: u32) {
        self.group.take_back(first);
        let stays = |one: &Rejected| one.place.index() < first;
        let gone = self.each[self.start..].iter().rev().take_while(|one| !stays(one)).count();
        let stay = self.each.len() - gone;
        self.cut_bytes -= cut_bytes(&self.each[stay..]);
        self.each.truncate(stay);
    }

    /// Those that are too many; none where they are not. And the bytes that have been cut out of the record.
    pub(super) fn finish(self) -> (RejectedGroup, usize) {
        (self.group, self.cut_bytes)
    }
}

/// Bytes of the readings that decoding has cut out of their records.
pub(super) fn cut_bytes(rejected: &[Rejected]) -> usize {
    rejected.iter().filter_map(|one| one.alone.as_ref()).map(|alone| alone.len()).sum()
}

impl Batch {
    /// Rejected readings by record, in the order in which records came; these and those that decoding found too many for
    /// a place among them.
    pub fn rejected_by_record<'r>(&'r self, rejected: &'r [Rejected]) -> BTreeMap<u32, RejectedOfRecord<'r>> {
        let mut records: BTreeMap<u32, RejectedOfRecord<'r>> = BTreeMap::new();
        for one in rejected {
            records.entry(one.record).or_default().few.push(one);
        }
        for (record, group) in &self.groups {
            records.entry(*record).or_default().many = Some(group);
        }
        records
    }

    /// Readings that are set aside, by partition and reason: these and those that decoding found too many for a place
    /// among them.
    pub fn reasons_of<'r>(&'r self, rejected: &'r [Rejected]) -> impl Iterator<Item = (i32, Reason)> + 'r {
        let each = rejected.iter().map(|one| (self.records[one.record as usize].partition, one.reason()));
        let grouped = self.groups.iter().flat_map(|(record, group)| {
            iter::repeat(self.records[*record as usize].partition).zip(group.reasons().iter().copied())
        });
        each.chain(grouped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(reason: Reason) -> Reject {
        Reject::new(reason, format!("it is {}", reason.as_str()))
    }

    fn group(places: impl IntoIterator<Item = (u32, Reason)>) -> RejectedGroup {
        let mut group = RejectedGroup::default();
        for (place, reason) in places {
            let time = place.is_multiple_of(2).then(|| Timestamp::from_micros(place.into()));
            group.push(Place::Item(place), &reject(reason), time);
        }
        group
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let reasons = [Reason::WrongShape, Reason::UnknownSensor, Reason::MalformedJson];
        let places = [0, 1, 2, 5, 7, 8, 9].map(|place: u32| (place, reasons[place as usize % 3]));
        for first in 0..11 {
            let mut found = group(places);
            found.take_back(first);
            let expected = group(places.into_iter().filter(|(place, _)| *place < first));
            if expected.is_empty() {
                assert!(found.is_empty());
            } else {
                assert_eq!(found, expected, "from {first} on");
            }
        }
    }

    #[test]
    fn those_that_were_found_later_stand_in_their_places() {
        let later = [1, 3, 4, 9].map(|place| Rejected {
            record: 0,
            place: Place::Item(place),
            reject: reject(Reason::UnknownSensor),
            time: place.is_multiple_of(2).then(|| Timestamp::from_micros(place.into())),
            alone: None,
        });
        let decoded = group([2, 5, 6].map(|place| (place, Reason::WrongShape)));
        let many = RejectedOfRecord { few: later.iter().rev().collect(), many: Some(&decoded) };
        let all = [1, 2, 3, 4, 5, 6, 9].map(|place| {
            let is_later = [1, 3, 4, 9].contains(&place);
            (place, if is_later { Reason::UnknownSensor } else { Reason::WrongShape })
        });
        assert_eq!(many.together(), group(all));
        assert_eq!(many.together().runs().collect::<Vec<_>>(), [(1, 6), (9, 9)]);
        assert_eq!(many.reasons().count(), 7);
    }

    #[test]
    fn one_letter_says_why_each_of_many_was_refused() {
        let shape = (0..300).map(|place| (place, Reason::WrongShape));
        let mut many = group(shape.clone());
        assert_eq!(many.reason(), Reason::WrongShape);
        many = group(shape.chain([(300, Reason::UnknownSensor)]));
        assert_eq!(many.reason(), Reason::UnknownSensor, "it may pass later");
        assert_eq!(
            many.detail(),
            "301 readings: 300 wrong_shape, 1 unknown_sensor; the first one: it is wrong_shape"
        );
    }
}
