//! Which of a range's days are drawn from what is kept, which from their readings, and which have to wait.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta};

use super::{Source, start_of};
use crate::{
    buckets::{Envelope, Envelopes, Step},
    reading::Timestamp,
    store::quarter_figures::FIGURES,
};

/// Days that are over, not kept, and read nevertheless: the newest ones, so that yesterday is there at once.
const READ_MAX: usize = 2;

/// First and last day.
type Run = (NaiveDate, NaiveDate);

/// What is kept of a day.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Kept {
    pub(super) day: NaiveDate,
    pub(super) is_final: bool,
    pub(super) reading_count: i64,
    pub(super) min_value: f64,
    pub(super) max_value: f64,
    pub(super) avg_value: f64,
    pub(super) quarter_hours: Option<Vec<f64>>,
}

impl Kept {
    fn envelope(&self) -> Envelope {
        Envelope { count: self.reading_count, min: self.min_value, max: self.max_value, avg: self.avg_value }
    }

    /// Its quarter-hours by their start.
    fn quarter_hours(&self) -> impl Iterator<Item = (Timestamp, Envelope)> {
        let start = start_of(self.day);
        let (quarters, _) = self.quarter_hours.as_deref().unwrap_or_default().as_chunks::<FIGURES>();
        quarters.iter().map(move |&[quarter, count, min, max, avg]| {
            let time = start.plus_micros(quarter as i64 * Step::QUARTER_HOUR.micros());
            (time, Envelope { count: count as i64, min, max, avg })
        })
    }
}

/// The days of a range.
#[derive(Debug)]
pub(super) struct Days {
    start: Timestamp,
    end: Timestamp,
    source: Source,
    kept: BTreeMap<NaiveDate, Kept>,
    /// Days that lie in the range as a whole and are over: from the first one to before the second.
    whole: (NaiveDate, NaiveDate),
    missing: Vec<Run>,
    read: BTreeSet<NaiveDate>,
}

impl Days {
    pub(super) fn new(
        start: Timestamp,
        end: Timestamp,
        today: NaiveDate,
        source: Source,
        kept: Vec<Kept>,
    ) -> Self {
        let first = day_of(start);
        let first = if start_of(first) < start { next(first) } else { first };
        let last = day_of(end).min(today);
        Self {
            start,
            end,
            source,
            kept: kept.into_iter().map(|kept| (kept.day, kept)).collect(),
            whole: (first, last.max(first)),
            missing: vec![],
            read: BTreeSet::new(),
        }
    }

    /// Runs of whole days of which too little is kept.
    pub(super) fn not_kept(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut day = self.whole.0;
        // From one day that is kept to the next; the days between are not counted one by one.
        let kept = self.kept.range(day..).filter(|(_, kept)| self.is_enough(kept)).map(|(day, _)| *day);
        for kept in kept.chain([self.whole.1]) {
            let kept = kept.min(self.whole.1);
            if day < kept {
                runs.push((day, kept - TimeDelta::days(1)));
            }
            day = day.max(next(kept));
        }
        runs
    }

    fn is_enough(&self, kept: &Kept) -> bool {
        self.source == Source::Days || kept.is_final || kept.quarter_hours.is_some()
    }

    /// These runs of days, of those that are not kept, have readings.
    pub(super) fn miss(&mut self, runs: &[Run]) {
        self.missing = runs.to_vec();
        let newest = runs.iter().rev().flat_map(|&(first, last)| {
            std::iter::successors(Some(last), NaiveDate::pred_opt).take_while(move |day| *day >= first)
        });
        self.read = newest.take(READ_MAX).collect();
    }

    /// Adds what is kept. Of a day whose quarter-hours are wanted and not kept, the day as a whole.
    pub(super) fn draw(&self, envelopes: &mut Envelopes) {
        let (first, last) = self.whole;
        for kept in self.kept.values().filter(|kept| !self.read.contains(&kept.day)) {
            // Of a day that is cut, the readings are drawn while they are there.
            let is_whole = first <= kept.day && kept.day < last;
            if !(kept.is_final || is_whole) {
                continue;
            }
            if kept.quarter_hours.is_some() {
                let inside = kept.quarter_hours().filter(|(time, _)| {
                    self.start < time.plus_micros(Step::QUARTER_HOUR.micros()) && *time < self.end
                });
                inside.for_each(|(time, envelope)| envelopes.add(time, envelope));
            } else {
                envelopes.add(start_of(kept.day), kept.envelope());
            }
        }
    }

    /// Ranges whose readings are summed up: where days are cut or not over, and the newest that are not kept.
    pub(super) fn to_read(&self) -> Vec<(Timestamp, Timestamp)> {
        let (first, last) = (start_of(self.whole.0), start_of(self.whole.1));
        let head = (self.start, first.min(self.end));
        let tail = (last.max(self.start).max(head.1), self.end);
        let read = self.read.iter().map(|&day| (start_of(day), start_of(next(day))));
        let is_left = |(start, end): &(Timestamp, Timestamp)| {
            let kept = self.kept.get(&day_of(*start));
            // Of a final day readings may be gone; what is kept of it is drawn.
            start < end && !kept.is_some_and(|kept| kept.is_final && *end <= start_of(next(kept.day)))
        };
        [head, tail].into_iter().filter(is_left).chain(read).collect()
    }

    /// Days that are not drawn as they should be.
    pub(super) fn missing(&self) -> Vec<Run> {
        let oldest_read = self.read.first().copied();
        let until = |last: NaiveDate| oldest_read.map_or(last, |day| last.min(day - TimeDelta::days(1)));
        let left = self.missing.iter().map(|&(first, last)| (first, until(last)));
        left.filter(|(first, last)| first <= last).collect()
    }

    /// Days that should be kept.
    pub(super) fn to_keep(&self) -> Vec<Run> {
        self.missing.clone()
    }
}

fn next(day: NaiveDate) -> NaiveDate {
    day.succ_opt().unwrap_or(day)
}

fn day_of(time: Timestamp) -> NaiveDate {
    time.to_datetime().as_ref().map_or(NaiveDate::MAX, DateTime::date_naive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
    }

    fn at(day: u32, hour: i64) -> Timestamp {
        start_of(date(day)).plus_micros(hour * 3_600_000_000)
    }

    fn kept(day: u32, is_final: bool, quarter_hours: Option<Vec<f64>>) -> Kept {
        let (min_value, max_value, avg_value) = (1.0, 9.0, 5.0);
        Kept { day: date(day), is_final, reading_count: 4, min_value, max_value, avg_value, quarter_hours }
    }

    fn quarters() -> Vec<f64> {
        vec![0.0, 3.0, 1.0, 9.0, 4.0, 95.0, 1.0, 8.0, 8.0, 8.0]
    }

    #[test]
    fn a_range_is_cut_into_days() {
        let all =
            vec![kept(2, false, Some(quarters())), kept(3, false, None), kept(5, false, Some(quarters()))];
        let mut days = Days::new(at(1, 6), at(9, 12), date(8), Source::QuarterHours, all);
        assert_eq!(days.not_kept(), [(date(3), date(4)), (date(6), date(7))]);
        days.miss(&[(date(3), date(3)), (date(6), date(7))]);
        assert_eq!(
            days.to_read(),
            [(at(1, 6), at(2, 0)), (at(8, 0), at(9, 12)), (at(6, 0), at(7, 0)), (at(7, 0), at(8, 0))]
        );
        assert_eq!(days.missing(), [(date(3), date(3))]);
        assert_eq!(days.to_keep(), [(date(3), date(3)), (date(6), date(7))]);
        let mut envelopes = Envelopes::new(Step::QUARTER_HOUR);
        days.draw(&mut envelopes);
        let points: Vec<_> =
            envelopes.into_points().iter().map(|(time, point)| (*time, point.count)).collect();
        let last_quarter = at(2, 24).plus_micros(-Step::QUARTER_HOUR.micros());
        assert_eq!(points[..3], [(at(2, 0), 3), (last_quarter, 1), (at(3, 0), 4)]);
        assert_eq!(points.len(), 5);
    }

    #[test]
    fn a_range_within_a_day_is_read() {
        let days = Days::new(
            at(3, 1),
            at(3, 7),
            date(8),
            Source::QuarterHours,
            vec![kept(3, false, Some(quarters()))],
        );
        assert!(days.not_kept().is_empty());
        assert_eq!(days.to_read(), [(at(3, 1), at(3, 7))]);
        let mut envelopes = Envelopes::new(Step::QUARTER_HOUR);
        days.draw(&mut envelopes);
        assert!(envelopes.into_points().is_empty());
    }

    #[test]
    fn of_final_days_nothing_but_what_is_kept_is_drawn() {
        let all = vec![kept(3, true, Some(quarters())), kept(4, true, None)];
        let days = Days::new(at(3, 1), at(4, 7), date(8), Source::QuarterHours, all);
        assert!(days.not_kept().is_empty() && days.to_read().is_empty(), "{days:?}");
        let mut envelopes = Envelopes::new(Step::QUARTER_HOUR);
        days.draw(&mut envelopes);
        let points = envelopes.into_points();
        assert_eq!(points.len(), 2, "{points:?}");
        assert_eq!(points[1].0, at(4, 0));
    }

    #[test]
    fn days_that_are_kept_are_enough_for_long_buckets() {
        let all = vec![kept(2, false, None), kept(4, false, None)];
        let days = Days::new(at(2, 0), at(5, 0), date(8), Source::Days, all);
        assert_eq!(days.not_kept(), [(date(3), date(3))]);
        assert!(days.to_read().is_empty());
    }
}
