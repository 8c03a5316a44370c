//! What messages about sensors come to until the database is asked: where to look, and nothing more.

use std::{collections::BTreeSet, ops::RangeInclusive};

use tokio::time::Instant;

use crate::store::{SENSOR_CHANGE_IDS_MAX, SensorChange};

/// Most ids of a message that are looked for by themselves while the whole table is going to be looked at.
const IDS_MAX_BESIDE_ALL: usize = 100;

/// The sensors about which something was said. However much is said, there are no more ids than one look asks for.
#[derive(Debug, Default)]
pub(super) struct SensorHints {
    ids: BTreeSet<i32>,
    all: bool,
}

impl SensorHints {
    /// Notes a message.
    pub(in crate::http) fn note(&mut self, change: SensorChange) {
        match change {
            SensorChange::Of(ranges) => self.note_ids(&ranges),
            SensorChange::Unknown => self.all = true,
            SensorChange::Nothing => {}
        }
    }

    /// Costs in proportion to the message: what a few bytes say of very many ids is not taken apart.
    fn note_ids(&mut self, ranges: &[RangeInclusive<i32>]) {
        let named: usize = ranges.iter().map(|range| range.clone().count()).sum();
        if self.ids.len() + named > SENSOR_CHANGE_IDS_MAX {
            self.ids.clear();
            self.all = true;
        } else if !self.all || named <= IDS_MAX_BESIDE_ALL {
            self.ids.extend(ranges.iter().cloned().flatten());
        }
    }

    /// Whether only the whole table tells.
    pub(super) fn are_about_all(&self) -> bool {
        self.all
    }

    /// Whether there are ids to look for.
    pub(super) fn are_about_some(&self) -> bool {
        !self.ids.is_empty()
    }

    /// When the first look is due, where ids and the whole table may be looked for then; none where nothing was said.
    pub(super) fn due(&self, ids_due: Instant, all_due: Instant) -> Option<Instant> {
        let ids_due = self.are_about_some().then_some(ids_due);
        let all_due = self.all.then_some(all_due);
        ids_due.into_iter().chain(all_due).min()
    }

    /// The ids, which are no hints any more.
    pub(super) fn take_ids(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.ids).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_said_many_times_is_looked_for_once() {
        let (mut hints, now) = (SensorHints::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        hints.note(SensorChange::Nothing);
        assert_eq!(hints.due(now, later), None);
        for _ in 0..1_000 {
            hints.note(SensorChange::Of(vec![7..=9, 8..=10]));
        }
        assert_eq!(hints.due(now, later), Some(now));
        assert_eq!(hints.take_ids(), [7, 8, 9, 10]);
        hints.note(SensorChange::Unknown);
        assert_eq!(hints.due(now, later), Some(later));
    }

    #[test]
    fn more_ids_than_one_look_asks_for_are_the_whole_table() {
        let mut hints = SensorHints::default();
        for first in (0..=SENSOR_CHANGE_IDS_MAX as i32).step_by(100) {
            hints.note(SensorChange::Of(vec![first..=first + 99]));
        }
        assert!(hints.are_about_all() && hints.take_ids().len() < 200);
        // A flood of such messages is not taken apart.
        for first in [1, 200_000] {
            hints.note(SensorChange::Of(vec![first..=first + SENSOR_CHANGE_IDS_MAX as i32 - 1]));
            assert!(!hints.are_about_some());
        }
        hints.note(SensorChange::Of(vec![5..=7]));
        assert_eq!(hints.take_ids(), [5, 6, 7]);
    }
}
