//! Which databases use a consumer group, and which of them it belongs to. Pure.
//!
//! Kafka shares a topic's partitions among the members of a group, whichever database they store in: of two databases
//! with one group, each would get a part of the readings. So a group is one database's: that of the members which are
//! there, and between several the one that has committed the offsets of most partitions.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::DatabaseId;

/// What Kafka shows of the databases that use a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupUse {
    /// The database of each member that says which it stores in, and whether the member has partitions of the topic.
    pub members: Vec<(DatabaseId, bool)>,
    /// The database that has committed a partition's offset last, where that is known.
    pub committed: BTreeMap<i32, DatabaseId>,
}

/// Whether workers of a database may be members of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupClaim {
    /// It is theirs, and no other database's.
    Own,
    /// Another database has committed offsets to it, and has no member any more: it was dropped, or its workers stopped.
    TakenOver(DatabaseId),
    /// It belongs to another database, whose workers are members.
    Refused(DatabaseId),
}

impl GroupUse {
    /// How `ours` stands to the group. Every database comes to the same answer about the others, so that exactly one
    /// of several stays.
    pub fn claim(&self, ours: DatabaseId) -> GroupClaim {
        let strength = |id: DatabaseId| (self.committed_by(id).len(), Reverse(id));
        let others = || self.databases().into_iter().filter(move |id| *id != ours);
        let strongest_rival = others().filter(|id| self.has_members(*id)).max_by_key(|id| strength(*id));
        match strongest_rival {
            Some(rival) if strength(rival) > strength(ours) => GroupClaim::Refused(rival),
            // It comes to the opposite answer, and leaves.
            Some(_) => GroupClaim::Own,
            None => others().max_by_key(|id| strength(*id)).map_or(GroupClaim::Own, GroupClaim::TakenOver),
        }
    }

    /// The databases that have partitions of the topic or have committed offsets of them. One that has neither uses the group
    /// for another topic.
    pub fn databases(&self) -> BTreeSet<DatabaseId> {
        let consuming = self.members.iter().filter(|(_, has_partitions)| *has_partitions).map(|(id, _)| *id);
        consuming.chain(self.committed.values().copied()).collect()
    }

    /// The partitions whose offsets a database has committed last.
    pub fn committed_by(&self, database: DatabaseId) -> Vec<i32> {
        let of = self.committed.iter().filter(|(_, id)| **id == database);
        of.map(|(partition, _)| *partition).collect()
    }

    /// Whether a database's workers are members of the group.
    pub fn has_members(&self, database: DatabaseId) -> bool {
        self.members.iter().any(|(id, _)| *id == database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(last: u8) -> DatabaseId {
        DatabaseId::parse(&format!("00000000-0000-4000-8000-0000000000{last:02}")).unwrap()
    }

    /// `members`: database and whether it has partitions; `committed`: the database of each partition.
    fn group(members: &[(u8, bool)], committed: &[u8]) -> GroupUse {
        GroupUse {
            members: members.iter().map(|&(last, has_partitions)| (id(last), has_partitions)).collect(),
            committed: (0..).zip(committed.iter().map(|&last| id(last))).collect(),
        }
    }

    #[test]
    fn a_group_that_nobody_else_uses_is_ones_own() {
        assert_eq!(group(&[], &[]).claim(id(1)), GroupClaim::Own);
        assert_eq!(group(&[(1, true), (1, false)], &[1, 1]).claim(id(1)), GroupClaim::Own);
        assert_eq!(group(&[(2, false)], &[]).claim(id(1)), GroupClaim::Own, "it reads another topic");
    }

    #[test]
    fn the_one_that_was_there_first_keeps_the_group_while_it_has_a_member() {
        let used = group(&[(2, true), (2, true)], &[2, 2, 2]);
        assert_eq!(used.claim(id(1)), GroupClaim::Refused(id(2)));
        assert_eq!(used.claim(id(2)), GroupClaim::Own);
        let in_a_rebalance = group(&[(2, false)], &[2, 2, 2]);
        assert_eq!(in_a_rebalance.claim(id(1)), GroupClaim::Refused(id(2)));
        let joined = group(&[(2, true), (1, true)], &[2, 2, 2]);
        assert_eq!((joined.claim(id(1)), joined.claim(id(2))), (GroupClaim::Refused(id(2)), GroupClaim::Own));
    }

    #[test]
    fn a_group_whose_database_has_no_member_is_taken_over() {
        assert_eq!(group(&[], &[2, 2]).claim(id(1)), GroupClaim::TakenOver(id(2)));
        assert_eq!(group(&[(1, true)], &[1, 2]).claim(id(1)), GroupClaim::TakenOver(id(2)));
        assert_eq!(group(&[(1, true)], &[3, 2, 2]).claim(id(1)), GroupClaim::TakenOver(id(2)));
    }

    #[test]
    fn of_several_that_start_at_once_exactly_one_stays() {
        for committed in [&[][..], &[1], &[2], &[1, 2], &[2, 2, 1], &[3, 3], &[1, 2, 3]] {
            let used = group(&[(1, true), (2, true), (3, true)], committed);
            let stay = [1, 2, 3].iter().filter(|&&last| used.claim(id(last)) == GroupClaim::Own);
            assert_eq!(stay.count(), 1, "{committed:?}");
        }
    }
}
