//! What a consumer owns and how far it is in each partition. Pure.

use std::collections::BTreeMap;

use crate::reading::untimed::GivenTimes;

/// Partitions of one consumer.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    partitions: BTreeMap<i32, Progress>,
}

/// How far one partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Progress {
    /// The stored offset once all that has been taken is committed; the next batch expects it.
    position: i64,
    /// The times that readings before the position were given last.
    given_times: GivenTimes,
    /// The stored offset as last read or committed.
    stored: i64,
    /// The stored offset that Kafka was told last.
    told: i64,
    /// Kafka says that no record below is still to come.
    passed: i64,
}

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Take it; the partition stood at this offset before.
    Take {
        /// The stored offset that the record's batch expects.
        position: i64,
    },
    /// Drop it: it has been taken before, or its partition is not ours.
    Drop,
}

impl Assignment {
    /// Starts a partition, or moves it, at its stored offset and with the times given up to there.
    pub(super) fn start(&mut self, partition: i32, stored: i64, given_times: GivenTimes) {
        let progress = Progress { position: stored, given_times, stored, told: -1, passed: stored };
        self.partitions.insert(partition, progress);
    }

    /// Forgets partitions.
    pub(super) fn remove(&mut self, partitions: &[i32]) {
        self.partitions.retain(|partition, _| !partitions.contains(partition));
    }

    /// Whether a partition is ours.
    pub(super) fn owns(&self, partition: i32) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// All partitions that are ours.
    pub(super) fn partitions(&self) -> Vec<i32> {
        self.partitions.keys().copied().collect()
    }

    /// Judges a record by its offset. Offsets have gaps, so any that is not behind is the next one.
    pub(super) fn admit(&self, partition: i32, offset: i64) -> Admission {
        match self.partitions.get(&partition) {
            Some(progress) if offset >= progress.position => Admission::Take { position: progress.position },
            _ => Admission::Drop,
        }
    }

    /// Where a partition goes on; none where it is not ours.
    pub(super) fn position(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition).map(|progress| progress.position)
    }

    /// The times that readings before the position were given last.
    pub(super) fn given_times(&self, partition: i32) -> Option<&GivenTimes> {
        self.partitions.get(&partition).map(|progress| &progress.given_times)
    }

    /// The same, for the record that is taken next.
    pub(super) fn given_times_mut(&mut self, partition: i32) -> Option<&mut GivenTimes> {
        self.partitions.get_mut(&partition).map(|progress| &mut progress.given_times)
    }

    /// Notes that everything before `next` has been taken.
    pub(super) fn advance(&mut self, partition: i32, next: i64) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            progress.position = progress.position.max(next);
        }
    }

    /// Notes that Kafka says of a partition that it holds no record below this offset that is still to come.
    pub(super) fn pass(&mut self, partition: i32, offset: i64) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            progress.passed = progress.passed.max(offset);
        }
    }

    /// Moves partitions past what holds no record, such as control records: which ones, from where, to where.
    pub(super) fn take_passed(&mut self) -> Vec<(i32, i64, i64)> {
        let behind = self.partitions.iter_mut().filter(|(_, progress)| progress.position < progress.passed);
        behind
            .map(|(&partition, progress)| {
                let before = std::mem::replace(&mut progress.position, progress.passed);
                (partition, before, progress.passed)
            })
            .collect()
    }

    /// Notes the stored offset after a commit; whether the partition is still ours.
    pub(super) fn committed(&mut self, partition: i32, next: i64) -> bool {
        let progress = self.partitions.get_mut(&partition);
        progress.map(|progress| progress.stored = next).is_some()
    }

    /// The stored offsets that Kafka has not been told.
    pub(super) fn take_uncommitted(&mut self) -> Vec<(i32, i64)> {
        let untold = self.partitions.iter_mut().filter(|(_, progress)| progress.told != progress.stored);
        untold
            .map(|(&partition, progress)| {
                progress.told = progress.stored;
                (partition, progress.stored)
            })
            .collect()
    }

    /// Has Kafka told again: it did not take what it was told last.
    pub(super) fn forget_told(&mut self) {
        for progress in self.partitions.values_mut() {
            progress.told = -1;
        }
    }

    /// The stored offset of a partition, as last read or committed.
    pub(super) fn stored_offset(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition).map(|progress| progress.stored)
    }

    /// The stored offset of each partition.
    pub(super) fn stored(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions.iter().map(|(&partition, progress)| (partition, progress.stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_once_and_over_gaps() {
        let mut assignment = Assignment::default();
        assignment.start(4, 100, GivenTimes::default());
        assert_eq!(assignment.admit(4, 99), Admission::Drop);
        assert_eq!(assignment.admit(4, 100), Admission::Take { position: 100 });
        assignment.advance(4, 101);
        assert_eq!(assignment.admit(4, 100), Admission::Drop);
        assert_eq!(assignment.admit(4, 107), Admission::Take { position: 101 });
        assert_eq!(assignment.admit(5, 0), Admission::Drop);
    }

    #[test]
    fn a_moved_partition_starts_over_at_its_stored_offset() {
        let mut assignment = Assignment::default();
        assignment.start(4, 100, GivenTimes::default());
        assignment.advance(4, 150);
        assert!(assignment.committed(4, 150));
        assignment.start(4, 120, GivenTimes::default());
        assert_eq!(assignment.admit(4, 120), Admission::Take { position: 120 });
        assert_eq!(assignment.stored().collect::<Vec<_>>(), [(4, 120)]);
    }

    #[test]
    fn what_kafka_says_holds_no_record_is_passed_once_and_never_taken_back() {
        let mut assignment = Assignment::default();
        assignment.start(4, 100, GivenTimes::default());
        assignment.pass(4, 100);
        assert_eq!(assignment.take_passed(), [], "nothing lies between");
        assignment.advance(4, 103);
        assignment.pass(4, 102);
        assert_eq!(assignment.take_passed(), [], "records were taken past it");
        assignment.pass(4, 105);
        assert_eq!(assignment.admit(4, 104), Admission::Take { position: 103 }, "not before it is asked for");
        assert_eq!(assignment.take_passed(), [(4, 103, 105)]);
        assert_eq!(assignment.take_passed(), []);
        assert_eq!(assignment.admit(4, 105), Admission::Take { position: 105 });
        assignment.start(4, 90, GivenTimes::default());
        assert_eq!(assignment.take_passed(), [], "a partition that starts over has passed nothing");
        assignment.pass(9, 7);
        assert_eq!(assignment.take_passed(), [], "not ours");
    }

    #[test]
    fn kafka_is_told_once_and_again_where_it_did_not_listen() {
        let mut assignment = Assignment::default();
        assignment.start(1, 7, GivenTimes::default());
        assert_eq!(assignment.take_uncommitted(), [(1, 7)]);
        assert_eq!(assignment.take_uncommitted(), []);
        assignment.forget_told();
        assert_eq!(assignment.take_uncommitted(), [(1, 7)]);
    }

    #[test]
    fn a_commit_for_a_partition_that_is_gone_changes_nothing() {
        let mut assignment = Assignment::default();
        assignment.start(1, 0, GivenTimes::default());
        assignment.remove(&[1]);
        assert!(!assignment.committed(1, 5));
        assert!(!assignment.owns(1) && assignment.partitions().is_empty());
    }
}
