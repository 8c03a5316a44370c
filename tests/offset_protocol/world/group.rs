//! The group's coordinator: who owns which partition, and what it has asked its members.

use super::consumer::{Consumer, GroupEvent};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    /// By partition.
    pub(super) owners: Vec<Option<usize>>,
    /// By partition: its owner was asked for it.
    pub(super) wanted_back: Vec<bool>,
}

/// How partitions change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GroupProtocol {
    /// Everybody gives up everything, then all of it is given out.
    Eager,
    /// Who loses a partition gives that up; once all have, what is free is given out.
    Cooperative,
    /// KIP-848: the broker gives out each partition as soon as that is free.
    Consumer,
}

impl Group {
    pub(super) fn new(partitions: usize) -> Self {
        Self { owners: vec![None; partitions], wanted_back: vec![false; partitions] }
    }

    /// Whether a partition can be given to somebody.
    pub(super) fn is_free(&self, partition: usize, protocol: GroupProtocol) -> bool {
        let waits_for_others = match protocol {
            GroupProtocol::Eager | GroupProtocol::Cooperative => self.wanted_back.contains(&true),
            GroupProtocol::Consumer => false,
        };
        self.owners[partition].is_none() && !waits_for_others
    }

    pub(super) fn assign(&mut self, partition: usize, member: usize, consumers: &mut [Consumer]) {
        self.owners[partition] = Some(member);
        consumers[member].tell(GroupEvent::Assigned(vec![partition as i32]));
    }

    /// Asks for a partition, or for all of them.
    pub(super) fn want_back(
        &mut self,
        partition: usize,
        protocol: GroupProtocol,
        consumers: &mut [Consumer],
    ) {
        for other in 0..self.owners.len() {
            let is_concerned = other == partition || protocol == GroupProtocol::Eager;
            if let Some(owner) = self.owners[other]
                && is_concerned
                && !self.wanted_back[other]
            {
                self.wanted_back[other] = true;
                consumers[owner].tell(GroupEvent::Revoked(vec![other as i32]));
            }
        }
    }

    /// A member has given partitions up.
    pub(super) fn take_back(&mut self, member: usize, partitions: &[i32]) {
        for &partition in partitions {
            let partition = partition as usize;
            if self.owners[partition] == Some(member) {
                self.owners[partition] = None;
                self.wanted_back[partition] = false;
            }
        }
    }

    /// A member is not one any more, whether or not it hears of it.
    pub(super) fn expel(&mut self, member: usize) -> Vec<i32> {
        let owned = |partition: &usize| self.owners[*partition] == Some(member);
        let partitions: Vec<i32> =
            (0..self.owners.len()).filter(owned).map(|partition| partition as i32).collect();
        self.take_back(member, &partitions);
        partitions
    }
}
