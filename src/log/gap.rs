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
}

impl Gap {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::TopicRecreated, Self::OffsetPastEnd, Self::RecordsExpired];

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
        }
    }

    /// The command with which an operator goes on.
    pub fn command(self) -> &'static str {
        match self {
            Self::TopicRecreated => "sensorpipe offsets accept-topic",
            Self::OffsetPastEnd => "sensorpipe offsets accept-truncation",
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
