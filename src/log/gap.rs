//! A log and a stored offset that contradict each other. Pure.

use super::Watermarks;

/// Why a partition cannot be consumed before an operator says how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// The topic of this name is not the one whose offsets are stored.
    TopicRecreated,
    /// The stored offset lies past the log's end: the log was cut, or the offset is another log's.
    OffsetPastEnd,
    /// The stored offset lies before the log's start: retention removed records that were never read.
    RecordsExpired,
    /// The record before the stored offset is not in the log any more, and others are in its place: the log was cut, and
    /// has grown again.
    LogDiverged,
}

impl Gap {
    /// Every one of them.
    pub const ALL: [Self; 4] =
        [Self::TopicRecreated, Self::OffsetPastEnd, Self::RecordsExpired, Self::LogDiverged];

    /// What an offset that is stored for a topic is in contradiction with, if anything: the topic, and the log that it has.
    pub fn between(stored_topic_id: &str, next_offset: i64, topic_id: &str, log: Watermarks) -> Option<Self> {
        if stored_topic_id != topic_id {
            Some(Self::TopicRecreated)
        } else if next_offset > log.high {
            Some(Self::OffsetPastEnd)
        } else if next_offset < log.low {
            Some(Self::RecordsExpired)
        } else {
            None
        }
    }

    /// Its name in logs, labels and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopicRecreated => "topic_recreated",
            Self::OffsetPastEnd => "offset_past_end",
            Self::RecordsExpired => "records_expired",
            Self::LogDiverged => "log_diverged",
        }
    }

    /// What happened, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::TopicRecreated => {
                "the topic was deleted and recreated: the stored offset is of the old one"
            }
            Self::OffsetPastEnd => {
                "the stored offset lies past the end of the log: the log was cut, or is not the one it was"
            }
            Self::RecordsExpired => {
                "the log no longer has the records after the stored offset: retention took them unread"
            }
            Self::LogDiverged => {
                "the log has other records before the stored offset than those that were stored: it was cut, and has grown \
                 again with records that were never read"
            }
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gap| gap.as_str() == name)
    }

    /// Whether the watermarks may stop telling of it, once the log has grown past the stored offset.
    pub const fn may_grow_over(self) -> bool {
        match self {
            Self::OffsetPastEnd | Self::LogDiverged => true,
            Self::TopicRecreated | Self::RecordsExpired => false,
        }
    }

    /// The command with which an operator goes on.
    pub fn command(self) -> &'static str {
        match self {
            Self::TopicRecreated => "sensorpipe offsets accept-topic",
            Self::OffsetPastEnd | Self::LogDiverged => "sensorpipe offsets accept-truncation",
            Self::RecordsExpired => "sensorpipe offsets accept-gap",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_offset_must_be_one_that_the_log_can_continue_from() {
        let between = |topic_id: &str, next_offset| {
            Gap::between(topic_id, next_offset, "one", Watermarks { low: 10, high: 20 })
        };
        assert_eq!(between("one", 10), None);
        assert_eq!(between("one", 20), None);
        assert_eq!(between("one", 21), Some(Gap::OffsetPastEnd));
        assert_eq!(between("one", 9), Some(Gap::RecordsExpired));
        assert_eq!(between("two", 15), Some(Gap::TopicRecreated));
    }
}
