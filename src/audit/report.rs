//! The result of an audit, for people and for machines.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{Difference, Example, Note, Outcome, Outcomes, TableBooks};
use crate::batch::Tally;

/// An audit of a topic.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// `clean`, `differences`, or `undetermined` where the only one is that a partition could not be read.
    pub verdict: &'static str,
    /// The topic.
    pub topic: String,
    /// Its id.
    pub topic_id: String,
    /// The cluster's id.
    pub cluster_id: String,
    /// When the snapshot of the database was taken.
    pub taken_at: String,
    /// How long it took.
    pub seconds: f64,
    /// Readings read from the log.
    pub readings: i64,
    /// The same in a second.
    pub readings_per_second: f64,
    /// Each partition.
    pub partitions: Vec<PartitionReport>,
    /// The table as a whole; null where its rows were not counted.
    pub table: Option<TableReport>,
    /// Differences that are of no single partition.
    pub differences: Vec<Difference>,
    /// Notes that are of no single partition.
    pub notes: Vec<Note>,
    /// The first readings of those that make a difference.
    pub examples: Vec<Example>,
}

/// A partition.
#[derive(Debug, Default, Serialize)]
pub struct PartitionReport {
    /// The partition.
    pub partition: i32,
    /// First offset of its log; null where Kafka has no such partition.
    pub log_start: Option<i64>,
    /// The offset that its next record will get.
    pub log_end: Option<i64>,
    /// First offset that is not stored; null where nothing ever was.
    pub stored_offset: Option<i64>,
    /// What the group has committed to Kafka; null where it has not.
    pub kafka_offset: Option<i64>,
    /// What was read; null where the partition cannot be audited.
    pub audited: Option<Audited>,
    /// What must not be.
    pub differences: Vec<Difference>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// First offset that was read.
    pub from: i64,
    /// First offset that was not.
    pub until: i64,
    /// First offset whose readings are held against counts; null where no counts are known.
    pub counted_from: Option<i64>,
    /// The counts of those; null where none are known.
    pub counts: Option<Tally>,
    /// Where those readings are.
    pub found: Outcomes,
    /// Where readings before them are.
    pub found_before: Outcomes,
}

/// The table as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// The sums.
    #[serde(flatten)]
    pub books: TableBooks,
    /// Rows that came another way.
    pub foreign_rows: i64,
}

impl Report {
    /// All differences, with the partition where they are one's.
    pub fn all_differences(&self) -> impl Iterator<Item = (Option<i32>, &Difference)> {
        let of_partitions = self.partitions.iter().flat_map(|partition| {
            partition.differences.iter().map(|difference| (Some(partition.partition), difference))
        });
        of_partitions.chain(self.differences.iter().map(|difference| (None, difference)))
    }

    /// Settles the verdict, and keeps examples only of what is a difference.
    pub fn conclude(&mut self, elapsed: Duration, examples: Vec<Example>, most: usize) {
        self.seconds = elapsed.as_secs_f64();
        self.readings = self
            .partitions
            .iter()
            .filter_map(|partition| partition.audited)
            .map(|audited| audited.found.readings + audited.found_before.readings)
            .sum();
        self.readings_per_second = (self.readings as f64 / self.seconds.max(f64::EPSILON)).round();
        self.verdict = self.outcome().as_str();
        let is_wrong = |example: &Example| {
            self.all_differences().any(|(partition, difference)| {
                partition.is_none_or(|partition| partition == example.partition)
                    && match difference {
                        Difference::Unaccounted { .. } => example.what == Example::UNACCOUNTED,
                        Difference::OtherValues { .. } => example.what == Example::OTHER_VALUE,
                        Difference::Obstacle(_)
                        | Difference::Unreadable { .. }
                        | Difference::OtherCluster { .. }
                        | Difference::Counts { .. }
                        | Difference::DeadLettersMissing { .. }
                        | Difference::DeadLettersUncounted { .. }
                        | Difference::RowsMissing { .. }
                        | Difference::SensorsLost { .. }
                        | Difference::SensorsUntold { .. } => false,
                    }
            })
        };
        let mut named: Vec<Example> = examples.into_iter().filter(is_wrong).collect();
        named.sort_by_key(|example| (example.partition, example.offset, example.item));
        named.truncate(most);
        self.examples = named;
    }

    /// Whether there is no difference.
    pub fn is_clean(&self) -> bool {
        self.outcome() == Outcome::Clean
    }

    /// What it came to. Of a partition that could not be read nothing is known, good or bad.
    pub fn outcome(&self) -> Outcome {
        let mut kinds = self.all_differences().map(|(_, difference)| difference.kind());
        match kinds.next() {
            None => Outcome::Clean,
            Some(Difference::UNREADABLE) if kinds.all(|kind| kind == Difference::UNREADABLE) => {
                Outcome::Undetermined
            }
            Some(_) => Outcome::Differences,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "topic {} ({}), cluster {}, as of {}",
            self.topic, self.topic_id, self.cluster_id, self.taken_at
        )?;
        writeln!(
            f,
            "{:>9} {:>12} {:>12} {:>12} | {:>12} {:>12} {:>10} | {:>12} {:>10} {:>10} {:>10} | {:>8} verdict",
            "partition",
            "from",
            "until",
            "readings",
            "stored",
            "duplicates",
            "letters",
            "in table",
            "letters",
            "removed",
            "nowhere",
            "kafka"
        )?;
        for partition in &self.partitions {
            partition.fmt(f)?;
        }
        if let Some(TableReport { books, foreign_rows }) = &self.table {
            let TableBooks { rows, stored, expired, sensors_removed } = books;
            writeln!(
                f,
                "sensor_data: {rows} rows; {stored} stored, {expired} dropped by retention, {sensors_removed} deleted with \
                 their sensors, {foreign_rows} from elsewhere"
            )?;
        }
        for partition in &self.partitions {
            for note in &partition.notes {
                writeln!(f, "partition {}: note: {note}", partition.partition)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for (partition, difference) in self.all_differences() {
            let what = match difference {
                Difference::Unreadable { .. } => "NOT AUDITED",
                _ => "DIFFERENCE",
            };
            match partition {
                Some(partition) => writeln!(f, "partition {partition}: {what}: {difference}")?,
                None => writeln!(f, "{what}: {difference}")?,
            }
        }
        for example in &self.examples {
            writeln!(f, "  {example}")?;
        }
        let is_difference = |difference: &Difference| difference.kind() != Difference::UNREADABLE;
        let count = self.all_differences().filter(|(_, difference)| is_difference(difference)).count();
        writeln!(
            f,
            "{}: {} readings of {} partitions in {:.1} s ({} readings/s)",
            match count {
                0 if self.is_clean() => "CLEAN".to_owned(),
                0 => "NOT ALL AUDITED".to_owned(),
                1 => "1 DIFFERENCE".to_owned(),
                _ => format!("{count} DIFFERENCES"),
            },
            self.readings,
            self.partitions.len(),
            self.seconds,
            self.readings_per_second
        )
    }
}

impl fmt::Display for PartitionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash =
            |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let counts = |count: fn(&Tally) -> i64| {
            or_dash(self.audited.and_then(|audited| audited.counts).map(|tally| count(&tally)))
        };
        let found = |fate: fn(&Outcomes) -> i64| {
            or_dash(self.audited.map(|audited| fate(&audited.found) + fate(&audited.found_before)))
        };
        let kafka = match (self.kafka_offset, self.stored_offset) {
            (Some(kafka), Some(stored)) => format!("{:+}", kafka - stored),
            _ => "-".to_owned(),
        };
        let verdict = match (self.differences.as_slice(), self.audited) {
            ([], None) => "not begun".to_owned(),
            ([], Some(_)) => "ok".to_owned(),
            (differences, _) => differences.iter().map(Difference::kind).collect::<Vec<_>>().join(","),
        };
        writeln!(
            f,
            "{:>9} {:>12} {:>12} {:>12} | {:>12} {:>12} {:>10} | {:>12} {:>10} {:>10} {:>10} | {:>8} {verdict}",
            self.partition,
            or_dash(self.audited.map(|audited| audited.from)),
            or_dash(self.audited.map(|audited| audited.until).or(self.stored_offset)),
            found(|outcomes| outcomes.readings),
            counts(|tally| tally.stored),
            counts(|tally| tally.duplicates),
            counts(|tally| tally.dead_lettered),
            found(|fates| fates.rows + fates.other_values),
            found(|fates| fates.letters),
            found(|fates| fates.expired + fates.sensors_removed + fates.not_kept),
            found(|fates| fates.unaccounted),
            kafka,
        )
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} offset {}", self.partition, self.offset)?;
        if let Some(item) = self.item {
            write!(f, " item {item}")?;
        }
        if let (Some(sensor_id), Some(time), Some(value)) = (self.sensor_id, &self.time, self.value) {
            write!(f, ": sensor {sensor_id} at {time}, value {value}")?;
        }
        if let Some(reason) = self.reason {
            write!(f, ": {reason}, and no dead letter")?;
        }
        match self.stored_value {
            Some(stored) => write!(f, ": sensor_data has {stored}"),
            None if self.reason.is_none() => f.write_str(": no row and no dead letter"),
            None => Ok(()),
        }
    }
}
