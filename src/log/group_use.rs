//! Which databases use a consumer group, and which of them it belongs to. Pure.
//!
//! Kafka shares a topic's partitions among the members of a group, whichever database they store in: of two databases
//! with one group, each would get a part of the readings. So a group is one database's. Workers commit their database's id
//! beside each offset, again and again: a database whose commits change has workers that run.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::DatabaseId;

/// How often a worker commits at least, so that others can tell that it runs.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(4);
/// A database whose commits have not changed for so long has no worker that runs.
const ALIVE_FOR: Duration = Duration::from_secs(14);

/// What a worker has committed last beside a partition's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committer {
    /// Which database it stores in.
    pub database: DatabaseId,
    /// Another one with each commit.
    pub beat: i64,
}

/// What was seen of a group's committed offsets, look by look. Times are those since the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupUse {
    committed: BTreeMap<i32, Committer>,
    seen: BTreeMap<DatabaseId, Sighting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sighting {
    first: Duration,
    changed: Option<Duration>,
}

/// How a database stands to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupClaim {
    /// It is its own, and no other database's.
    Own,
    /// Another database has committed offsets to it, and no worker of that one runs: it was dropped, or its workers stopped.
    TakenOver(DatabaseId),
    /// Another database has committed offsets to it, and it is too early to say whether a worker of that one runs.
    Unknown(DatabaseId),
    /// It belongs to another database, whose workers run.
    Refused(DatabaseId),
}

impl GroupUse {
    /// Takes in what is committed now.
    pub fn see(&mut self, now: Duration, committed: BTreeMap<i32, Committer>) {
        let before = std::mem::replace(&mut self.committed, committed);
        let is_first_look = self.seen.is_empty() && before.is_empty();
        let databases = self.databases();
        self.seen.retain(|id, _| databases.contains(id));
        for id in databases {
            let sighting = self.seen.entry(id).or_insert(Sighting { first: now, changed: None });
            let of_id = self.committed.iter().filter(|(_, committer)| committer.database == id);
            let has_changed =
                of_id.into_iter().any(|(partition, by)| before.get(partition).is_some_and(|of| of != by));
            if has_changed && !is_first_look {
                sighting.changed = Some(now);
            }
        }
    }

    /// How `ours` stands to the group. Of several databases whose workers run, the one stays that has committed the offsets
    /// of most partitions: each of them comes to that answer about the others.
    pub fn claim(&self, ours: DatabaseId, now: Duration) -> GroupClaim {
        let strength = |id: DatabaseId| (self.committed_by(id).len(), Reverse(id));
        let mut others: Vec<DatabaseId> = self.databases().into_iter().filter(|id| *id != ours).collect();
        others.sort_by_key(|id| Reverse(strength(*id)));
        let with =
            |is_active: Option<bool>| others.iter().copied().find(|id| self.is_active(*id, now) == is_active);
        let stronger = |rival: &DatabaseId| strength(*rival) > strength(ours);
        if let Some(rival) = with(Some(true)).filter(stronger) {
            return GroupClaim::Refused(rival);
        }
        if let Some(rival) = with(None).filter(stronger) {
            return GroupClaim::Unknown(rival);
        }
        // One that runs and is weaker comes to the opposite answer, and leaves.
        match with(Some(true)) {
            Some(_) => GroupClaim::Own,
            None => others.first().map_or(GroupClaim::Own, |other| GroupClaim::TakenOver(*other)),
        }
    }

    /// The databases that have committed offsets.
    pub fn databases(&self) -> BTreeSet<DatabaseId> {
        self.committed.values().map(|committer| committer.database).collect()
    }

    /// The partitions whose offsets a database has committed last.
    pub fn committed_by(&self, database: DatabaseId) -> Vec<i32> {
        let of = self.committed.iter().filter(|(_, committer)| committer.database == database);
        of.map(|(partition, _)| *partition).collect()
    }

    /// The database that has committed a partition's offset last.
    pub fn committer(&self, partition: i32) -> Option<DatabaseId> {
        self.committed.get(&partition).map(|committer| committer.database)
    }

    /// Whether workers of a database run; none where that is not known yet.
    pub fn is_active(&self, database: DatabaseId, now: Duration) -> Option<bool> {
        let Sighting { first, changed } = *self.seen.get(&database)?;
        if changed.is_some_and(|changed| now.saturating_sub(changed) < ALIVE_FOR) {
            return Some(true);
        }
        (changed.is_some() || now.saturating_sub(first) >= ALIVE_FOR).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_secs(5);

    fn id(last: u8) -> DatabaseId {
        DatabaseId::parse(&format!("00000000-0000-4000-8000-0000000000{last:02}")).unwrap()
    }

    /// `committed`: the database of each partition.
    fn commits(committed: &[u8], beat: i64) -> BTreeMap<i32, Committer> {
        let of = |&last: &u8| Committer { database: id(last), beat };
        (0..).zip(committed.iter().map(of)).collect()
    }

    /// Four looks; the databases of `active` commit between them. What each of `asked` is told after each look.
    fn told(committed: &[u8], active: &[u8], asked: u8) -> [GroupClaim; 4] {
        let mut used = GroupUse::default();
        [0, 1, 2, 3].map(|look| {
            let mut seen = commits(committed, 0);
            for committer in seen.values_mut().filter(|of| active.iter().any(|last| of.database == id(*last)))
            {
                committer.beat = i64::from(look);
            }
            used.see(LOOK * look, seen);
            used.claim(id(asked), LOOK * look)
        })
    }

    #[test]
    fn a_group_that_nobody_else_uses_is_ones_own_at_once() {
        assert_eq!(told(&[], &[], 1), [GroupClaim::Own; 4]);
        assert_eq!(told(&[1, 1], &[1], 1), [GroupClaim::Own; 4]);
    }

    #[test]
    fn the_one_that_was_there_first_keeps_the_group_while_its_workers_run() {
        let (unknown, refused) = (GroupClaim::Unknown(id(2)), GroupClaim::Refused(id(2)));
        assert_eq!(told(&[2, 2, 2], &[2], 1), [unknown, refused, refused, refused]);
        assert_eq!(told(&[2, 2, 2], &[2], 2), [GroupClaim::Own; 4]);
        assert_eq!(told(&[2, 2, 1], &[1, 2], 1), [unknown, refused, refused, refused]);
        assert_eq!(told(&[2, 2, 1], &[1, 2], 2)[1..], [GroupClaim::Own; 3]);
    }

    #[test]
    fn a_group_whose_database_has_no_worker_that_runs_is_taken_over() {
        let (unknown, taken_over) = (GroupClaim::Unknown(id(2)), GroupClaim::TakenOver(id(2)));
        assert_eq!(told(&[2, 2], &[], 1), [unknown, unknown, unknown, taken_over]);
        assert_eq!(
            told(&[1, 1, 2], &[1], 1),
            [taken_over; 4],
            "nothing is in the way of the one that has most"
        );
        assert_eq!(told(&[3, 2, 2], &[], 1)[3], taken_over);
    }

    #[test]
    fn one_that_stops_is_active_no_more_after_a_while() {
        let mut used = GroupUse::default();
        used.see(Duration::ZERO, commits(&[2], 0));
        used.see(LOOK, commits(&[2], 1));
        assert_eq!(used.claim(id(1), LOOK), GroupClaim::Refused(id(2)));
        assert_eq!(used.claim(id(1), LOOK + ALIVE_FOR), GroupClaim::TakenOver(id(2)));
    }

    #[test]
    fn of_several_whose_workers_run_exactly_one_stays() {
        for committed in [&[1, 2, 3][..], &[2, 2, 1, 3], &[3, 3, 1, 2], &[1, 2, 3, 4]] {
            let stay =
                [1, 2, 3].iter().filter(|&&last| told(committed, &[1, 2, 3], last)[3] == GroupClaim::Own);
            assert_eq!(stay.count(), 1, "{committed:?}");
        }
    }
}
