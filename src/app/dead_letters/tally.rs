//! What came of all portions together.

use std::collections::BTreeMap;

use crate::store::dead_letters::{Refused, Replayed};

/// Refused dead letters that are named one by one; the others are counted.
const NAMED_MAX: usize = 1_000;

/// What came of a replay.
#[derive(Debug, Default)]
pub(super) struct ReplayTally {
    pub(super) stored: u64,
    pub(super) duplicates: u64,
    /// By reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// The first of them.
    pub(super) named: Vec<Refused>,
    pub(super) missing: Vec<i64>,
}

impl ReplayTally {
    /// Says after which id the portion continues.
    pub(super) fn add(&mut self, replayed: Replayed) -> Option<i64> {
        self.stored += replayed.stored;
        self.duplicates += replayed.duplicates;
        for refused in replayed.refused {
            *self.refused.entry(refused.reason.clone()).or_default() += 1;
            if self.named.len() < NAMED_MAX {
                self.named.push(refused);
            }
        }
        self.missing.extend(replayed.missing);
        replayed.next
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.values().sum()
    }
}
