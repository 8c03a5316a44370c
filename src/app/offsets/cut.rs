//! Where a log was cut, told by the epochs of the leaders that appended what it holds.
//!
//! Beside a stored offset stands the epoch of the last record before it. What the log had then is of that epoch or an
//! earlier one; what was written after the cut is of a later one, for each new leader has its own. So the cut lies after
//! the last record of an epoch that is not later, which halving the log finds with one record at a time.

use std::collections::BTreeMap;

use crate::{
    app::{offsets::plan::Verdict, servers::Servers},
    kafka::{FirstRecord, LogError, Range, TopicLog, first_records},
    log::Gap,
    store::offset_moves::KeptOffset,
};

use super::{TRUNCATION, plan::verdict};

/// Where a log was cut before a stored offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// What stood at this offset and after it is gone.
    At(i64),
    /// The epochs do not say: it may have been anywhere.
    Unknown,
}

/// Finds the cuts of the partitions that have one, by partition and stored offset.
pub(super) async fn find(
    servers: &Servers,
    kept: &[KeptOffset],
    log: &TopicLog,
) -> Result<BTreeMap<(i32, i64), Cut>, LogError> {
    let begun = |row: &KeptOffset| match verdict(row, log) {
        Verdict::Gap(gap) if TRUNCATION.contains(&gap) => Some((row.partition, Search::new(row, gap, log))),
        _ => None,
    };
    let mut searches: BTreeMap<i32, Search> = kept.iter().filter_map(begun).collect();
    loop {
        let open = searches.iter().filter(|(_, search)| search.is_open());
        let ranges: Vec<Range> = open
            .map(|(&partition, search)| Range { partition, start: search.middle(), end: search.high })
            .collect();
        if ranges.is_empty() {
            break;
        }
        let asked: Vec<i32> = ranges.iter().map(|range| range.partition).collect();
        let found = first_records(&servers.kafka, &servers.settings, ranges).await?;
        for partition in asked {
            if let Some(search) = searches.get_mut(&partition) {
                search.narrow(found.get(&partition).copied());
            }
        }
    }
    Ok(searches.iter().map(|(&partition, search)| ((partition, search.next_offset), search.cut())).collect())
}

/// One log, halved until the cut is found.
#[derive(Debug)]
struct Search {
    gap: Gap,
    next_offset: i64,
    /// The epoch of the last record that is stored; none where nothing can be told.
    epoch: Option<i32>,
    /// Everything before it is from before the cut.
    low: i64,
    /// Nothing from here on is.
    high: i64,
}

impl Search {
    fn new(row: &KeptOffset, gap: Gap, log: &TopicLog) -> Self {
        let ends = log.partitions[&row.partition];
        Self {
            gap,
            next_offset: row.next_offset,
            epoch: row.last_record().and_then(|last| last.leader_epoch),
            low: ends.low,
            high: ends.high.min(row.next_offset),
        }
    }

    fn is_open(&self) -> bool {
        self.epoch.is_some() && self.low < self.high
    }

    fn middle(&self) -> i64 {
        self.low + (self.high - self.low) / 2
    }

    /// Takes in the first record from the middle on; none where there is none before the end.
    fn narrow(&mut self, found: Option<FirstRecord>) {
        match (found, self.epoch) {
            (Some(FirstRecord { leader_epoch: None, .. }), _) => self.epoch = None,
            (Some(FirstRecord { offset, leader_epoch: Some(found) }), Some(epoch)) if found <= epoch => {
                self.low = offset + 1;
            }
            _ => self.high = self.middle(),
        }
    }

    fn cut(&self) -> Cut {
        // Its last record is another one, so a log that has no later epoch before it was put back by other means.
        let is_contradicted = self.gap == Gap::LogDiverged && self.low >= self.next_offset;
        if self.epoch.is_some() && !is_contradicted { Cut::At(self.low) } else { Cut::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a log of these records, stored up to `next_offset` when the epoch was `epoch`.
    fn found(records: &[(i64, Option<i32>)], next_offset: i64, epoch: Option<i32>, gap: Gap) -> Cut {
        let end = records.last().map_or(0, |(offset, _)| offset + 1);
        let mut search = Search { gap, next_offset, epoch, low: 0, high: end.min(next_offset) };
        for _ in 0..64 {
            if !search.is_open() {
                return search.cut();
            }
            let (middle, high) = (search.middle(), search.high);
            let first = records.iter().find(|(offset, _)| (middle..high).contains(offset));
            search.narrow(first.map(|&(offset, leader_epoch)| FirstRecord { offset, leader_epoch }));
        }
        panic!("it does not end: {search:?}");
    }

    #[test]
    fn it_is_after_the_last_record_of_the_old_leaders() {
        for cut in 0..20 {
            for step in [1, 3] {
                let epoch_at = |offset| if offset < cut { 4 + (offset / 10) as i32 } else { 6 };
                let records: Vec<_> =
                    (0..30).step_by(step).map(|offset| (offset, Some(epoch_at(offset)))).collect();
                let last = records.iter().map(|(offset, _)| *offset).filter(|offset| *offset < cut).max();
                let expected = Cut::At(last.map_or(0, |last| last + 1));
                assert_eq!(found(&records, 20, Some(5), Gap::LogDiverged), expected, "{cut}, {step}");
            }
        }
    }

    #[test]
    fn a_log_that_only_ends_earlier_was_cut_at_its_end() {
        let records: Vec<_> = (0..12).map(|offset| (offset, Some(5))).collect();
        assert_eq!(found(&records, 20, Some(5), Gap::OffsetPastEnd), Cut::At(12));
        assert_eq!(found(&[], 20, Some(5), Gap::OffsetPastEnd), Cut::At(0));
    }

    #[test]
    fn epochs_that_are_missing_or_contradict_the_gap_tell_nothing() {
        let records: Vec<_> = (0..30).map(|offset| (offset, Some(5))).collect();
        assert_eq!(found(&records, 20, Some(5), Gap::LogDiverged), Cut::Unknown);
        assert_eq!(found(&records, 20, None, Gap::OffsetPastEnd), Cut::Unknown);
        let untold: Vec<_> = (0..30).map(|offset| (offset, None)).collect();
        assert_eq!(found(&untold, 20, Some(5), Gap::LogDiverged), Cut::Unknown);
    }
}
