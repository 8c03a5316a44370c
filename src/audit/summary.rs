//! A whole topic in a few numbers: what is kept of an audit.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
};

use serde::{Deserialize, Serialize};

use super::{Audited, Difference, Kept, Progress, Report, Resume};
use crate::batch::Tally;

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no difference.
    Clean,
    /// There are some.
    Differences,
    /// None is known, and not everything could be audited.
    Undetermined,
}

impl Outcome {
    /// Its name in `audits`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Differences => "differences",
            Self::Undetermined => "undetermined",
        }
    }
}

/// Readings of a topic, summed up over its partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// In the log, up to the stored offsets.
    pub readings: i64,
    /// Of them those before the first offset whose counts are known. The others are the sum of what follows, where
    /// all is as it must be.
    pub uncounted: i64,
    /// Counted.
    pub counts: Tally,
}

impl Sums {
    fn of(audited: &Audited) -> Self {
        let Audited { found, found_before, .. } = audited;
        Self {
            readings: found.readings + found_before.readings,
            uncounted: found_before.readings,
            counts: audited.counts.unwrap_or_default(),
        }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.readings += other.readings;
        self.uncounted += other.uncounted;
        self.counts += other.counts;
    }
}

/// What is kept of an audit.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// How many differences there are; a kind in a partition is one.
    pub differences: i32,
    /// Their kinds, sorted, each with the number of partitions that have it; the table as a whole counts as one.
    pub kinds: BTreeMap<&'static str, i32>,
    /// Partitions that differ or could not be audited.
    pub partitions: Vec<i32>,
    /// What was read, and the counts of it.
    pub sums: Sums,
    /// Readings over which the log, the counts and the tables disagree, at least; none where that is not known.
    pub difference: Option<i64>,
    /// Whether the rows of `sensor_data` were compared with the counts, too.
    pub rows_counted: bool,
    /// How long it took; of several rounds, the last one.
    pub duration_seconds: f64,
}

/// Readings by the kind of difference that they make; none where a kind does not tell how many.
type Kinds = BTreeMap<&'static str, Option<i64>>;

/// A topic over the rounds of an audit. The first one reads all that the log has, a later one what was stored since:
/// only together they say something about the topic.
#[derive(Debug, Default)]
pub struct WholeTopic {
    identity: (String, String),
    partitions: BTreeMap<i32, Part>,
    kinds: Kinds,
    rows_counted: bool,
}

#[derive(Debug, Default)]
struct Part {
    sums: Sums,
    kinds: Kinds,
}

impl WholeTopic {
    /// Adds a round. `resumed` are the partitions that went on where an earlier one ended; whatever else was read, was
    /// read from its beginning, and takes the place of what was known of it.
    pub fn add(&mut self, report: &Report, resumed: &BTreeSet<i32>) {
        let identity = (report.cluster_id.clone(), report.topic_id.clone());
        if self.identity != identity {
            *self = Self { identity, ..Self::default() };
        }
        let begun = || report.partitions.iter().filter(|partition| partition.stored_offset.is_some());
        let numbers: BTreeSet<i32> = begun().map(|partition| partition.partition).collect();
        self.partitions.retain(|partition, _| numbers.contains(partition));
        for partition in begun() {
            let part = self.partitions.entry(partition.partition).or_default();
            if let Some(audited) = &partition.audited {
                if !resumed.contains(&partition.partition) {
                    *part = Part::default();
                }
                part.sums += Sums::of(audited);
            }
            merge(&mut part.kinds, &partition.differences);
        }
        if report.table.is_some() {
            self.rows_counted = true;
            self.kinds.remove(Difference::ROWS_MISSING);
        }
        merge(&mut self.kinds, &report.differences);
    }

    /// What the next process may go on from: partitions in which no reading is known to differ. The others are to be
    /// read from their start then, as somebody may have put them right; so are all where the topic as a whole differs.
    pub fn progress(&self, resumes: &[(i32, Resume)]) -> Vec<Progress> {
        let of_whole =
            |(&kind, readings): (&&str, &Option<i64>)| kind != Difference::ROWS_MISSING && readings.is_some();
        if self.kinds.iter().any(of_whole) {
            return vec![];
        }
        let is_known = |part: &&Part| part.kinds.values().all(Option::is_none);
        let progress = |(partition, resume): &(i32, Resume)| {
            let part = self.partitions.get(partition).filter(is_known)?;
            Some(Progress { partition: *partition, resume: resume.clone(), sums: part.sums })
        };
        resumes.iter().filter_map(progress).collect()
    }

    /// Becomes what the last audit of this cluster's topic of this id has left, and tells where to go on. What is known of
    /// the table's rows stays, unless that audit has counted them, too.
    pub fn take_over(&mut self, cluster_id: &str, topic_id: &str, kept: &Kept) -> Vec<(i32, Resume)> {
        let identity = (cluster_id.to_owned(), topic_id.to_owned());
        if self.identity != identity {
            *self = Self { identity, ..Self::default() };
        }
        let part = |of: &Progress| Part { sums: of.sums, kinds: Kinds::default() };
        self.partitions = kept.progress.iter().map(|of| (of.partition, part(of))).collect();
        self.kinds.retain(|&kind, _| kind == Difference::ROWS_MISSING && !kept.rows_counted);
        if let Some(rows) = kept.rows_missing {
            self.kinds.insert(Difference::ROWS_MISSING, Some(rows));
        }
        self.rows_counted |= kept.rows_counted;
        kept.progress.iter().map(|of| (of.partition, of.resume.clone())).collect()
    }

    /// What there is to keep of the rounds so far.
    pub fn summary(&self, duration_seconds: f64) -> Summary {
        let all = || self.partitions.values().map(|part| &part.kinds).chain([&self.kinds]);
        let differences = all().map(BTreeMap::len).sum::<usize>();
        let outcome = match differences {
            0 => Outcome::Clean,
            _ if all().flat_map(BTreeMap::values).any(Option::is_some) => Outcome::Differences,
            _ => Outcome::Undetermined,
        };
        let mut kinds = BTreeMap::new();
        for &kind in all().flat_map(BTreeMap::keys) {
            *kinds.entry(kind).or_default() += 1;
        }
        let has_kinds = |(_, part): &(&i32, &Part)| !part.kinds.is_empty();
        let mut sums = Sums::default();
        for part in self.partitions.values() {
            sums += part.sums;
        }
        // A reading that is lost may show in each comparison, so the largest counts and not their sum.
        let of_partitions: i64 = self.partitions.values().map(|part| most(&part.kinds)).sum();
        let difference = of_partitions.max(most(&self.kinds));
        Summary {
            outcome,
            differences: i32::try_from(differences).unwrap_or(i32::MAX),
            kinds,
            partitions: self.partitions.iter().filter(has_kinds).map(|(&partition, _)| partition).collect(),
            sums,
            difference: (outcome != Outcome::Undetermined).then_some(difference),
            rows_counted: self.rows_counted,
            duration_seconds,
        }
    }
}

/// Adds what a round has found. What keeps a partition from being audited is found again as long as it does.
fn merge(kinds: &mut Kinds, differences: &[Difference]) {
    kinds.retain(|_, readings| readings.is_some());
    for difference in differences {
        let before = kinds.get(difference.kind()).copied().flatten().unwrap_or(0);
        let readings = difference.readings().map(|readings| match difference {
            // Of all dead letters, in each round.
            Difference::DeadLettersMissing { .. } => before.max(readings),
            _ => before + readings,
        });
        kinds.insert(difference.kind(), readings);
    }
}

fn most(kinds: &Kinds) -> i64 {
    kinds.values().copied().flatten().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::audit::{Obstacle, Outcomes, PartitionReport, Point, TableBooks, TableReport};

    fn partition(partition: i32, readings: i64, differences: Vec<Difference>) -> PartitionReport {
        let is_audited = !matches!(differences.as_slice(), [Difference::Obstacle(_)]);
        PartitionReport {
            partition,
            log_start: Some(0),
            log_end: Some(100),
            stored_offset: Some(100),
            kafka_offset: None,
            audited: is_audited.then(|| Audited {
                from: 0,
                until: 100,
                counted_from: Some(1),
                counts: Some(Tally { stored: readings - 2, duplicates: 1, dead_lettered: 0 }),
                found: Outcomes { readings: readings - 1, ..Outcomes::default() },
                found_before: Outcomes { readings: 1, ..Outcomes::default() },
            }),
            differences,
            notes: vec![],
        }
    }

    fn report(partitions: Vec<PartitionReport>, differences: Vec<Difference>) -> Report {
        Report {
            verdict: "",
            topic: "readings".to_owned(),
            topic_id: "t".to_owned(),
            cluster_id: "c".to_owned(),
            taken_at: String::new(),
            seconds: 0.0,
            readings: 0,
            readings_per_second: 0.0,
            partitions,
            table: None,
            differences,
            notes: vec![],
            examples: vec![],
        }
    }

    fn unaccounted(readings: i64) -> Difference {
        Difference::Unaccounted { readings }
    }

    #[test]
    fn sums_are_of_all_partitions_and_rounds() {
        let mut topic = WholeTopic::default();
        let mut not_begun = partition(2, 10, vec![]);
        (not_begun.stored_offset, not_begun.audited) = (None, None);
        topic.add(
            &report(vec![partition(0, 10, vec![]), partition(1, 20, vec![]), not_begun], vec![]),
            &[].into(),
        );
        let clean = Summary {
            outcome: Outcome::Clean,
            differences: 0,
            kinds: BTreeMap::new(),
            partitions: vec![],
            sums: Sums {
                readings: 30,
                uncounted: 2,
                counts: Tally { stored: 26, duplicates: 2, dead_lettered: 0 },
            },
            difference: Some(0),
            rows_counted: false,
            duration_seconds: 1.5,
        };
        assert_eq!(topic.summary(1.5), clean);

        // One goes on; the other one begins anew.
        let next = report(vec![partition(0, 5, vec![]), partition(1, 7, vec![])], vec![]);
        topic.add(&next, &[0].into());
        assert_eq!(topic.summary(1.0).sums.readings, 10 + 5 + 7);

        let mut anew = report(vec![partition(0, 5, vec![])], vec![]);
        topic.add(&anew, &[0].into());
        assert_eq!(topic.summary(1.0).sums.readings, 10 + 5 + 5, "a partition is gone");
        anew.topic_id = "u".to_owned();
        topic.add(&anew, &[].into());
        assert_eq!(topic.summary(1.0).sums.readings, 5, "another topic");
    }

    #[test]
    fn a_difference_stays_until_its_partition_is_read_anew() {
        let mut topic = WholeTopic::default();
        let gap = Difference::Counts { log: 10, counted: 9 };
        let found = report(
            vec![partition(0, 10, vec![unaccounted(2), gap]), partition(1, 10, vec![unaccounted(3)])],
            vec![Difference::RowsMissing { rows: 4 }],
        );
        topic.add(&found, &[].into());
        let summary = topic.summary(1.0);
        assert_eq!((summary.outcome, summary.differences), (Outcome::Differences, 4));
        assert_eq!(summary.kinds, [("counts", 1), ("rows_missing", 1), ("unaccounted", 2)].into());
        assert_eq!(summary.partitions, [0, 1]);
        assert_eq!(summary.difference, Some(2 + 3), "one that is lost counts once");

        let letters = || Difference::DeadLettersMissing { letters: 9 };
        for _ in 0..2 {
            let later = vec![partition(0, 5, vec![unaccounted(1), letters()]), partition(1, 5, vec![])];
            topic.add(&report(later, vec![]), &[0, 1].into());
        }
        assert_eq!(topic.summary(1.0).difference, Some(9 + 3));
        let mut counted = report(vec![partition(0, 5, vec![]), partition(1, 5, vec![])], vec![]);
        let books = TableBooks { rows: 0, stored: 0, expired: 0, sensors_removed: 0 };
        counted.table = Some(TableReport { books, foreign_rows: 0 });
        topic.add(&counted, &[].into());
        let summary = topic.summary(1.0);
        assert_eq!((summary.outcome, summary.rows_counted), (Outcome::Clean, true));
    }

    #[test]
    fn what_cannot_be_audited_is_not_known() {
        let mut topic = WholeTopic::default();
        let obstacle = || vec![Difference::Obstacle(Obstacle::Gap(crate::log::Gap::RecordsExpired))];
        topic.add(&report(vec![partition(0, 10, vec![]), partition(1, 0, obstacle())], vec![]), &[].into());
        let summary = topic.summary(1.0);
        assert_eq!((summary.outcome, summary.difference), (Outcome::Undetermined, None));
        assert_eq!((summary.differences, summary.kinds), (1, [("records_expired", 1)].into()));
        assert_eq!(summary.partitions, [1]);
        assert_eq!(summary.sums.readings, 10);

        let partitions = || vec![partition(0, 1, vec![unaccounted(1)]), partition(1, 0, obstacle())];
        topic.add(&report(partitions(), vec![]), &[0].into());
        let summary = topic.summary(1.0);
        assert_eq!((summary.outcome, summary.difference), (Outcome::Differences, Some(1)));
        assert_eq!(summary.differences, 2);

        topic.add(&report(vec![partition(0, 1, vec![]), partition(1, 4, vec![])], vec![]), &[].into());
        assert_eq!(topic.summary(1.0).outcome, Outcome::Clean, "somebody has put it right");
    }

    #[test]
    fn a_process_goes_on_where_the_one_before_ended_but_for_what_differs() {
        let resume = |partition| {
            let tally = Tally { stored: 9, duplicates: 1, dead_lettered: 0 };
            let point = Point { offset: 100, tally, letters_removed: 3, letters_not_kept: 1 };
            let given_times = crate::reading::untimed::GivenTimes::default();
            let resume =
                Resume { topic_id: "t".to_owned(), point, taken_at: DateTime::UNIX_EPOCH, given_times };
            (partition, resume)
        };
        let mut before = WholeTopic::default();
        let obstacle = vec![Difference::Unreadable { reason: "why".to_owned() }];
        let unreadable = PartitionReport { audited: None, ..partition(2, 0, obstacle) };
        let parts = vec![partition(0, 10, vec![]), partition(1, 20, vec![unaccounted(1)]), unreadable];
        before.add(&report(parts, vec![]), &[].into());
        let progress = serde_json::to_string(&before.progress(&[resume(0), resume(1), resume(2)])).unwrap();
        let mut kept = Kept {
            taken_at: DateTime::UNIX_EPOCH,
            progress: serde_json::from_str(&progress).unwrap(),
            rows_missing: None,
            rows_counted: true,
        };
        let mut after = WholeTopic::default();
        let resumes = after.take_over("c", "t", &kept);
        assert_eq!(resumes, [resume(0), resume(2)], "what differs is read from its start");
        let parts = vec![partition(0, 5, vec![]), partition(1, 20, vec![]), partition(2, 7, vec![])];
        after.add(&report(parts, vec![]), &[0, 2].into());
        let summary = after.summary(1.0);
        assert_eq!((summary.outcome, summary.sums.readings), (Outcome::Clean, 10 + 5 + 20 + 7));
        assert!(summary.rows_counted);

        kept.rows_missing = Some(7);
        after.take_over("c", "t", &kept);
        (kept.rows_missing, kept.rows_counted) = (None, false);
        after.take_over("c", "t", &kept);
        assert_eq!(after.summary(1.0).difference, Some(7), "nobody has counted again");
        kept.rows_counted = true;
        after.take_over("c", "t", &kept);
        assert_eq!(after.summary(1.0).outcome, Outcome::Clean);
    }
}
