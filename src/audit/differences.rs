//! Differences and notes, each with a name for machines and words for people.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::Obstacle;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The partition's log and its stored offset contradict each other.
    Obstacle(Obstacle),
    /// The partition's log could not be read, so nothing is known of it.
    Unreadable {
        /// Why, in librdkafka's words.
        reason: String,
    },
    /// The stored offsets of the topic are another cluster's.
    OtherCluster {
        /// Whose they are.
        stored: String,
    },
    /// Stored, duplicates and dead-lettered do not add up to what the log holds.
    Counts {
        /// Readings in the log.
        log: i64,
        /// Readings counted for the same offsets.
        counted: i64,
    },
    /// Readings that are in neither table, and more than removed dead letters explain.
    Unaccounted {
        /// How many.
        readings: i64,
    },
    /// Dead letters that are counted, not there, and not counted as removed.
    DeadLettersMissing {
        /// How many.
        letters: i64,
    },
    /// More dead letters of these offsets than are counted.
    DeadLettersUncounted {
        /// How many.
        letters: i64,
    },
    /// Rows whose values are not the log's, and more than duplicates explain.
    OtherValues {
        /// Readings that have such a row.
        readings: i64,
        /// How many of them duplicates explain.
        explained: i64,
    },
    /// The table has fewer rows than are counted.
    RowsMissing {
        /// How many.
        rows: i64,
    },
}

impl Difference {
    /// Every name, for metrics.
    pub const KINDS: [&'static str; 12] = [
        "topic_recreated",
        "offset_past_end",
        "records_expired",
        "no_such_partition",
        Self::UNREADABLE,
        "other_cluster",
        "counts",
        "unaccounted",
        "letters_missing",
        "letters_uncounted",
        "other_values",
        Self::ROWS_MISSING,
    ];

    /// Of a partition of which nothing is known; the others are reasons to act, this one to wait.
    pub const UNREADABLE: &'static str = "unreadable";

    /// Of the table as a whole.
    pub const ROWS_MISSING: &'static str = "rows_missing";

    /// How many readings it is about; none where that is not known, for they could not be audited.
    pub fn readings(&self) -> Option<i64> {
        match self {
            Self::Obstacle(_) | Self::Unreadable { .. } | Self::OtherCluster { .. } => None,
            Self::Counts { log, counted } => Some((log - counted).abs()),
            Self::OtherValues { readings, explained } => Some(readings - explained),
            Self::Unaccounted { readings: number }
            | Self::DeadLettersMissing { letters: number }
            | Self::DeadLettersUncounted { letters: number }
            | Self::RowsMissing { rows: number } => Some(*number),
        }
    }

    /// A name for machines and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Obstacle(Obstacle::Gap(gap)) => gap.as_str(),
            Self::Obstacle(Obstacle::NoSuchPartition) => "no_such_partition",
            Self::Unreadable { .. } => Self::UNREADABLE,
            Self::OtherCluster { .. } => "other_cluster",
            Self::Counts { .. } => "counts",
            Self::Unaccounted { .. } => "unaccounted",
            Self::DeadLettersMissing { .. } => "letters_missing",
            Self::DeadLettersUncounted { .. } => "letters_uncounted",
            Self::OtherValues { .. } => "other_values",
            Self::RowsMissing { .. } => Self::ROWS_MISSING,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(Obstacle::Gap(gap)) => f.write_str(gap.meaning()),
            Self::Obstacle(Obstacle::NoSuchPartition) => f.write_str("the topic has no such partition"),
            Self::Unreadable { reason } => f.write_str(reason),
            Self::OtherCluster { stored } => {
                write!(f, "the stored offsets of this topic are of another cluster, {stored}")
            }
            Self::Counts { log, counted } => {
                let (what, by) =
                    if log > counted { ("a gap", log - counted) } else { ("an overlap", counted - log) };
                write!(f, "the log has {log} readings, the counts say {counted}: {what} of {by}")
            }
            Self::Unaccounted { readings } => {
                write!(f, "{readings} readings are neither in sensor_data nor in dead_letters")
            }
            Self::DeadLettersMissing { letters } => {
                write!(f, "{letters} dead letters are missing without a recorded removal")
            }
            Self::DeadLettersUncounted { letters } => {
                write!(f, "{letters} more dead letters than were counted")
            }
            Self::OtherValues { readings, explained } => {
                write!(
                    f,
                    "{readings} readings have another value in sensor_data, duplicates explain {explained}"
                )
            }
            Self::RowsMissing { rows } => write!(f, "sensor_data has {rows} rows fewer than were stored"),
        }
    }
}

/// Something worth knowing that is no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Kafka's committed offset is past the database's, as after a restore.
    KafkaAhead {
        /// By so many offsets.
        offsets: i64,
    },
    /// Counts are not compared: the log reaches back to no offset whose counts are known.
    CountsUnknown,
    /// The log is compared from its start, counts only from a later offset.
    CountsFrom {
        /// That offset.
        offset: i64,
    },
    /// Nothing of the partition is stored.
    NotBegun {
        /// Offsets in its log.
        offsets: i64,
    },
    /// Removed dead letters explain readings that are in neither table.
    DeadLettersRemoved {
        /// How many.
        readings: i64,
    },
    /// Duplicates explain readings whose row has another value.
    OtherValues {
        /// How many.
        readings: i64,
    },
    /// Readings beyond the bound of dead letters, between offsets where that was noted.
    DeadLettersNotKept {
        /// How many.
        readings: i64,
    },
    /// Rows that came another way than through a topic.
    ForeignRows {
        /// How many.
        rows: i64,
    },
    /// Retention dropped chunks while rows were counted.
    RowsNotCounted,
}

impl Note {
    /// A name for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::KafkaAhead { .. } => "kafka_ahead",
            Self::CountsUnknown => "counts_unknown",
            Self::CountsFrom { .. } => "counts_from",
            Self::NotBegun { .. } => "not_begun",
            Self::DeadLettersRemoved { .. } => "letters_removed",
            Self::DeadLettersNotKept { .. } => "letters_not_kept",
            Self::OtherValues { .. } => "other_values",
            Self::ForeignRows { .. } => "foreign_rows",
            Self::RowsNotCounted => "rows_not_counted",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KafkaAhead { offsets } => write!(
                f,
                "the group's offset in Kafka is {offsets} ahead of the database's, as after a restore; workers go by the database"
            ),
            Self::CountsUnknown => {
                f.write_str("the log reaches back to no known counts, so only single readings are compared")
            }
            Self::CountsFrom { offset } => write!(f, "counts are compared from offset {offset} on"),
            Self::NotBegun { offsets } => {
                write!(f, "nothing of it is stored yet, its log spans {offsets} offsets")
            }
            Self::DeadLettersRemoved { readings } => {
                write!(f, "{readings} readings are in neither table, as removed dead letters explain")
            }
            Self::DeadLettersNotKept { readings } => {
                write!(f, "{readings} readings are in neither table: dead letters beyond DEAD_LETTER_MAX")
            }
            Self::OtherValues { readings } => {
                write!(f, "{readings} readings were replaced by a duplicate with another value")
            }
            Self::ForeignRows { rows } => {
                write!(f, "{rows} rows of sensor_data did not come through the topic")
            }
            Self::RowsNotCounted => f.write_str("rows are not compared: retention dropped chunks meanwhile"),
        }
    }
}

fn as_kind_and_message<S: Serializer>(
    serializer: S,
    kind: &'static str,
    message: &impl fmt::Display,
) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("Remark", 2)?;
    fields.serialize_field("kind", kind)?;
    fields.serialize_field("message", &message.to_string())?;
    fields.end()
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_kind_and_message(serializer, self.kind(), self)
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_kind_and_message(serializer, self.kind(), self)
    }
}
