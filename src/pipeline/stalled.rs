//! Partitions that are stalled: what `/readyz`, the metrics and the overview show of them.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use parking_lot::Mutex;

use crate::{
    health::Component,
    log::{Gap, Unreadable},
    metrics::STALLED_PARTITIONS,
};

/// Why no record of a partition is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stall {
    /// The log and the stored offset contradict each other: until an operator decides.
    Gap(Gap),
    /// Its records cannot be read, with librdkafka's own words: until that ends.
    Unreadable(Unreadable, String),
}

impl Stall {
    /// The name of every reason.
    pub const REASONS: [&'static str; Gap::ALL.len() + Unreadable::ALL.len()] = [
        Gap::TopicRecreated.as_str(),
        Gap::OffsetPastEnd.as_str(),
        Gap::RecordsExpired.as_str(),
        Gap::LogDiverged.as_str(),
        Unreadable::NotAuthorized.as_str(),
        Unreadable::UnsupportedCodec.as_str(),
        Unreadable::Corrupt.as_str(),
        Unreadable::FetchFailed.as_str(),
    ];

    /// The reason's name in logs, labels and listings.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Gap(gap) => gap.as_str(),
            Self::Unreadable(unreadable, _) => unreadable.as_str(),
        }
    }

    /// What happened and what to do, for people.
    pub fn detail(&self) -> String {
        match self {
            Self::Gap(gap) => format!("{}; go on with `{}`", gap.meaning(), gap.command()),
            Self::Unreadable(unreadable, told) => format!("{}: {told}", unreadable.meaning()),
        }
    }
}

/// The stalled partitions of a process; clones share them. The component is down while there are any.
#[derive(Clone, Debug)]
pub struct StalledPartitions {
    partitions: Arc<Mutex<BTreeMap<i32, Stall>>>,
    component: Component,
}

impl StalledPartitions {
    /// None yet.
    pub fn new(component: Component) -> Self {
        let stalled = Self { partitions: Arc::default(), component };
        stalled.show(&BTreeMap::new());
        stalled
    }

    /// Notes that a partition is stalled; whether that, or its reason, is news.
    pub(super) fn add(&self, partition: i32, stall: Stall) -> bool {
        let mut partitions = self.partitions.lock();
        let reason = stall.reason();
        let before = partitions.insert(partition, stall);
        self.show(&partitions);
        before.is_none_or(|before| before.reason() != reason)
    }

    /// Notes that partitions go on, or are another consumer's now; whether any of them was stalled.
    pub(super) fn remove(&self, gone: impl Iterator<Item = i32>) -> bool {
        let mut partitions = self.partitions.lock();
        let before = partitions.len();
        gone.for_each(|partition| _ = partitions.remove(&partition));
        let has_changed = partitions.len() < before;
        if has_changed {
            self.show(&partitions);
        }
        has_changed
    }

    /// Those of these partitions that are stalled.
    pub(super) fn among(&self, partitions: &[i32]) -> Vec<(i32, Stall)> {
        let stalled = self.partitions.lock();
        let found = |partition: &i32| Some((*partition, stalled.get(partition)?.clone()));
        partitions.iter().filter_map(found).collect()
    }

    fn show(&self, partitions: &BTreeMap<i32, Stall>) {
        for reason in Stall::REASONS {
            let count = partitions.values().filter(|stall| stall.reason() == reason).count();
            metrics::gauge!(STALLED_PARTITIONS, "gap" => reason).set(count as f64);
        }
        if partitions.is_empty() {
            self.component.up();
        } else {
            self.component.down(summary(partitions));
        }
    }
}

fn summary(partitions: &BTreeMap<i32, Stall>) -> String {
    /// A topic may have thousands.
    const NAMED_AT_MOST: usize = 20;
    let mut summary = String::from("stalled:");
    for (partition, stall) in partitions.iter().take(NAMED_AT_MOST) {
        _ = write!(summary, " partition {partition} {};", stall.reason());
    }
    if let more @ 1.. = partitions.len().saturating_sub(NAMED_AT_MOST) {
        _ = write!(summary, " {more} more;");
    }
    // They mostly have it in common.
    if let Some(Stall::Unreadable(unreadable, told)) =
        partitions.values().find(|stall| matches!(stall, Stall::Unreadable(..)))
    {
        _ = write!(summary, " {}: {told};", unreadable.meaning());
    }
    summary + " `sensorpipe offsets list` shows them"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Health, Need, State};

    #[test]
    fn stalled_partitions_are_named_and_leave_the_process_ready() {
        let health = Health::default();
        let stalled = StalledPartitions::new(health.component("partitions", Need::Optional));
        assert_eq!(health.report().components["partitions"], State::Up);
        assert!(stalled.add(3, Stall::Gap(Gap::RecordsExpired)));
        assert!(!stalled.add(3, Stall::Gap(Gap::RecordsExpired)), "no news");
        let unreadable = |told: &str| Stall::Unreadable(Unreadable::UnsupportedCodec, told.to_owned());
        assert!(stalled.clone().add(5, unreadable("Decompression failed at 7")));
        assert!(!stalled.add(5, unreadable("Decompression failed at 9")), "the same reason");
        let State::Down(reason) = health.report().components["partitions"].clone() else { panic!("up") };
        assert!(reason.contains("partition 3 records_expired; partition 5 unsupported_codec;"), "{reason}");
        assert!(reason.contains("gzip, snappy, lz4 and zstd: Decompression failed at 9;"), "{reason}");
        assert!(health.report().ready);
        assert_eq!(stalled.among(&[4, 5]), [(5, unreadable("Decompression failed at 9"))]);
        stalled.remove([3, 4, 5].into_iter());
        assert_eq!(health.report().components["partitions"], State::Up);
    }

    #[test]
    fn a_summary_names_some_of_many() {
        let many = (0..30).map(|partition| (partition, Stall::Gap(Gap::OffsetPastEnd))).collect();
        assert!(summary(&many).contains("partition 19 offset_past_end; 10 more;"), "{}", summary(&many));
    }

    #[test]
    fn every_reason_is_a_label() {
        let all = Gap::ALL.map(Gap::as_str).into_iter().chain(Unreadable::ALL.map(Unreadable::as_str));
        assert_eq!(all.collect::<Vec<_>>(), Stall::REASONS);
        let document = crate::metrics::document();
        let line = document.lines().find(|line| line.contains(STALLED_PARTITIONS)).unwrap();
        assert!(Stall::REASONS.iter().all(|reason| line.contains(reason)), "{line}");
    }
}
