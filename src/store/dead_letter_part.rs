//! The readings of a dead letter that stands for many of its record, as columns of its row.

use chrono::{DateTime, Utc};

use crate::{batch::RejectedGroup, reading::Timestamp, store::postgres_time::storable};

/// Some readings of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Part {
    /// How many.
    pub(in crate::store) readings: i32,
    /// Their places: the first and the last one of each run.
    pub(in crate::store) items: Vec<i32>,
    /// Places of readings that were given a time,
    pub(in crate::store) untimed_items: Vec<i32>,
    /// and which.
    pub(in crate::store) reading_times: Vec<DateTime<Utc>>,
}

impl Part {
    /// The readings of a group.
    pub(in crate::store) fn of(group: &RejectedGroup) -> Self {
        let times = group.times().iter();
        let times = times.filter_map(|(place, time)| Some((*place as i32, storable(*time)?)));
        let (untimed_items, reading_times) = times.unzip();
        Self {
            readings: group.readings() as i32,
            items: group.runs().flat_map(|(first, last)| [first as i32, last as i32]).collect(),
            untimed_items,
            reading_times,
        }
    }

    /// Whether the reading at this place is one of them.
    pub(in crate::store) fn has(&self, place: u32) -> bool {
        let runs = self.items.as_chunks::<2>().0;
        let at = runs.partition_point(|[_, last]| (*last as u32) < place);
        runs.get(at).is_some_and(|[first, _]| *first as u32 <= place)
    }

    /// The time that the reading at this place was given.
    pub(in crate::store) fn time_of(&self, place: u32) -> Option<Timestamp> {
        let at = self.untimed_items.binary_search(&(place as i32)).ok()?;
        self.reading_times.get(at).map(|time| Timestamp::from_micros(time.timestamp_micros()))
    }

    /// What is left of them where these stay.
    pub(in crate::store) fn left(&self, stay: &RejectedGroup) -> Self {
        let mut left = Self::of(stay);
        let times = self.untimed_items.iter().zip(&self.reading_times);
        let has = |place: &i32| left.has(*place as u32);
        let times = times.filter(|(place, _)| has(place)).map(|(place, time)| (*place, *time));
        (left.untimed_items, left.reading_times) = times.collect::<Vec<_>>().into_iter().unzip();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    #[test]
    fn a_place_is_found_in_its_run() {
        let part = Part {
            readings: 5,
            items: vec![1, 3, 7, 8],
            untimed_items: vec![2, 8],
            reading_times: vec![time(20), time(80)],
        };
        let found: Vec<u32> = (0..10).filter(|place| part.has(*place)).collect();
        assert_eq!(found, [1, 2, 3, 7, 8]);
        let times: Vec<_> = (0..10).filter_map(|place| part.time_of(place)).map(Timestamp::micros).collect();
        assert_eq!(times, [20, 80]);
        assert!(!Part::default().has(0));
    }
}
