//! Partitions that stand still until an operator says how to go on: what `/readyz` and the metrics show of them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use super::Gap;
use crate::{health::Component, metrics::STALLED_PARTITIONS};

/// The blocked partitions of a process; clones share them. The component is down while there are any.
#[derive(Clone, Debug)]
pub struct BlockedPartitions {
    partitions: Arc<Mutex<BTreeMap<i32, Gap>>>,
    component: Component,
}

impl BlockedPartitions {
    /// None yet.
    pub fn new(component: Component) -> Self {
        let blocked = Self { partitions: Arc::default(), component };
        blocked.show(&BTreeMap::new());
        blocked
    }

    /// Notes that a partition stands still; whether that is news.
    pub(super) fn add(&self, partition: i32, gap: Gap) -> bool {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = partitions.insert(partition, gap) != Some(gap);
        self.show(&partitions);
        is_news
    }

    /// Notes that partitions go on, or are somebody else's now.
    pub(super) fn remove(&self, gone: impl Iterator<Item = i32>) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let before = partitions.len();
        gone.for_each(|partition| _ = partitions.remove(&partition));
        if partitions.len() < before {
            self.show(&partitions);
        }
    }

    fn show(&self, partitions: &BTreeMap<i32, Gap>) {
        for gap in Gap::ALL {
            let count = partitions.values().filter(|blocked| **blocked == gap).count();
            metrics::gauge!(STALLED_PARTITIONS, "gap" => gap.as_str()).set(count as f64);
        }
        if partitions.is_empty() {
            self.component.up();
        } else {
            self.component.down(reason(partitions));
        }
    }
}

fn reason(partitions: &BTreeMap<i32, Gap>) -> String {
    /// A topic may have thousands.
    const NAMED_AT_MOST: usize = 20;
    let mut reason = String::from("standing still:");
    for (partition, gap) in partitions.iter().take(NAMED_AT_MOST) {
        _ = write!(reason, " partition {partition} {};", gap.as_str());
    }
    if let more @ 1.. = partitions.len().saturating_sub(NAMED_AT_MOST) {
        _ = write!(reason, " {more} more;");
    }
    reason + " `sensorpipe offsets list` shows them"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Health, Need, State};

    #[test]
    fn blocked_partitions_are_named_and_leave_the_process_ready() {
        let health = Health::default();
        let blocked = BlockedPartitions::new(health.component("partitions", Need::Optional));
        assert_eq!(health.report().components["partitions"], State::Up);
        assert!(blocked.add(3, Gap::RecordsExpired));
        assert!(!blocked.add(3, Gap::RecordsExpired), "no news");
        assert!(blocked.clone().add(5, Gap::TopicRecreated));
        let State::Down(reason) = health.report().components["partitions"].clone() else { panic!("up") };
        assert!(reason.contains("partition 3 records_expired; partition 5 topic_recreated;"), "{reason}");
        assert!(health.report().ready);
        blocked.remove([3, 4, 5].into_iter());
        assert_eq!(health.report().components["partitions"], State::Up);
    }

    #[test]
    fn a_reason_names_some_of_many() {
        let many = (0..30).map(|partition| (partition, Gap::OffsetPastEnd)).collect();
        assert!(reason(&many).contains("partition 19 offset_past_end; 10 more;"), "{}", reason(&many));
    }
}
