//! Differences and notes, each with a name for machines and words for people.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::Obstacle;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The partition's log and its stored offset contradict each other.
    #[error("{0}")]
    Obstacle(Obstacle),
    /// The partition's log could not be read, so nothing is known of it.
    #[error("{reason}")]
    Unreadable {
        /// Why, in librdkafka's words.
        reason: String,
    },
    /// The stored offsets of the topic are another cluster's.
    #[error("the stored offsets of this topic are of another cluster, {stored}")]
    OtherCluster {
        /// Whose they are.
        stored: String,
    },
    /// Stored, duplicates and dead-lettered do not add up to what the log holds.
    #[error(
        "the log has {log} readings, the counts say {counted}: {} of {}",
        if log > counted { "a gap" } else { "an overlap" },
        (log - counted).abs()
    )]
    Counts {
        /// Readings in the log.
        log: i64,
        /// Readings counted for the same offsets.
        counted: i64,
    },
    /// Readings that are in neither table, and more than removed dead letters explain.
    #[error("{readings} readings are neither in sensor_data nor in dead_letters")]
    Unaccounted {
        /// How many.
        readings: i64,
    },
    /// Dead letters that are counted, not there, and not counted as removed.
    #[error("{letters} dead letters are missing without a recorded removal")]
    DeadLettersMissing {
        /// How many.
        letters: i64,
    },
    /// More dead letters of these offsets than are counted.
    #[error("{letters} more dead letters than were counted")]
    DeadLettersUncounted {
        /// How many.
        letters: i64,
    },
    /// Rows whose values are not the log's, and more than duplicates explain.
    #[error("{readings} readings have another value in sensor_data, duplicates explain {explained}")]
    OtherValues {
        /// Readings that have such a row.
        readings: i64,
        /// How many of them duplicates explain.
        explained: i64,
    },
    /// The table has fewer rows than are counted.
    #[error("sensor_data has {rows} rows fewer than were stored")]
    RowsMissing {
        /// How many.
        rows: i64,
    },
    /// Sensors that were made and never deleted, going by their topic, are not in their table.
    #[error("{sensors} sensors of their topic are not in the table: {named}; a worker makes them again")]
    SensorsLost {
        /// How many.
        sensors: usize,
        /// The first of them.
        named: String,
    },
    /// Sensors of the table are not in their topic, nor about to be.
    #[error(
        "{sensors} sensors of the table are not in their topic: {named}; a worker tells it when it starts"
    )]
    SensorsUntold {
        /// How many.
        sensors: usize,
        /// The first of them.
        named: String,
    },
}

impl Difference {
    /// Every name, for metrics.
    pub const KINDS: [&'static str; 15] = [
        "topic_recreated",
        "offset_past_end",
        "records_expired",
        "log_diverged",
        "no_such_partition",
        Self::UNREADABLE,
        "other_cluster",
        "counts",
        "unaccounted",
        "letters_missing",
        "letters_uncounted",
        "other_values",
        Self::ROWS_MISSING,
        "sensors_lost",
        "sensors_untold",
    ];

    /// Of a partition of which nothing is known; the others are reasons to act, this one to wait.
    pub const UNREADABLE: &'static str = "unreadable";

    /// Of the table as a whole.
    pub const ROWS_MISSING: &'static str = "rows_missing";

    /// How many readings it is about; none where that is not known, for they could not be audited.
    pub fn readings(&self) -> Option<i64> {
        match self {
            Self::Obstacle(_)
            | Self::Unreadable { .. }
            | Self::OtherCluster { .. }
            | Self::SensorsLost { .. }
            | Self::SensorsUntold { .. } => None,
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
            Self::SensorsLost { .. } => "sensors_lost",
            Self::SensorsUntold { .. } => "sensors_untold",
        }
    }
}

/// Something worth knowing that is no difference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Kafka's committed offset is past the database's, as after a restore.
    #[error(
        "the group's offset in Kafka is {offsets} ahead of the database's, as after a restore; workers go by the database"
    )]
    KafkaAhead {
        /// By so many offsets.
        offsets: i64,
    },
    /// Counts are not compared: the log reaches back to no offset whose counts are known.
    #[error("the log reaches back to no known counts, so only single readings are compared")]
    CountsUnknown,
    /// The log is compared from its start, counts only from a later offset.
    #[error("counts are compared from offset {offset} on")]
    CountsFrom {
        /// That offset.
        offset: i64,
    },
    /// The log was cut, and an operator has it read again from its start.
    #[error(
        "the log was cut, which was accepted at {accepted_at}: what was counted before is not compared, nor are {letters} \
         dead letters of records that are gone, for the log has others in their place"
    )]
    LogCut {
        /// When.
        accepted_at: String,
        /// Dead letters that are still there.
        letters: i64,
    },
    /// Nothing of the partition is stored.
    #[error("nothing of it is stored yet, its log spans {offsets} offsets")]
    NotBegun {
        /// Offsets in its log.
        offsets: i64,
    },
    /// Removed dead letters explain readings that are in neither table.
    #[error("{readings} readings are in neither table, as removed dead letters explain")]
    DeadLettersRemoved {
        /// How many.
        readings: i64,
    },
    /// Duplicates explain readings whose row has another value.
    #[error("{readings} readings were replaced by a duplicate with another value")]
    OtherValues {
        /// How many.
        readings: i64,
    },
    /// Readings beyond the bound of dead letters, between offsets where that was noted.
    #[error("{readings} readings are in neither table: dead letters beyond DEAD_LETTER_MAX")]
    DeadLettersNotKept {
        /// How many.
        readings: i64,
    },
    /// Rows that came another way than through a topic.
    #[error("{rows} rows of sensor_data did not come through the topic")]
    ForeignRows {
        /// How many.
        rows: i64,
    },
    /// Retention dropped chunks while rows were counted.
    #[error("rows are not compared: retention dropped chunks meanwhile")]
    RowsNotCounted,
    /// The topic of the sensors could not be read, or their table not be compared with it.
    #[error("sensors are not compared with their topic: {reason}")]
    SensorsNotCompared {
        /// Why.
        reason: String,
    },
}

impl Note {
    /// A name for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::KafkaAhead { .. } => "kafka_ahead",
            Self::CountsUnknown => "counts_unknown",
            Self::CountsFrom { .. } => "counts_from",
            Self::LogCut { .. } => "log_cut",
            Self::NotBegun { .. } => "not_begun",
            Self::DeadLettersRemoved { .. } => "letters_removed",
            Self::DeadLettersNotKept { .. } => "letters_not_kept",
            Self::OtherValues { .. } => "other_values",
            Self::ForeignRows { .. } => "foreign_rows",
            Self::RowsNotCounted => "rows_not_counted",
            Self::SensorsNotCompared { .. } => "sensors_not_compared",
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
