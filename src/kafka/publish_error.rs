//! Why a record is not known to be in the log.

use metrics::counter;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::metrics::PUBLISH_FAILURES;

/// Why a record is not known to be in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Too many records wait for Kafka already; this one was not sent.
    #[error("too many records wait for Kafka")]
    QueueFull,
    /// Kafka is known to be away; nothing was sent.
    #[error("Kafka does not answer now")]
    Down,
    /// No acknowledgement in time; the record may be in the log or not.
    #[error("Kafka did not acknowledge in time")]
    TimedOut,
    /// Larger than the topic takes.
    #[error("the record is larger than the topic's max.message.bytes")]
    TooLarge,
    /// The record's time, which is this host's, is too far from the broker's.
    #[error(
        "Kafka refused the record's time (InvalidTimestamp): the clocks of this host and of the broker differ by more than \
         the topic's message.timestamp.after.max.ms or message.timestamp.before.max.ms allows"
    )]
    ClockRefused,
    /// Kafka said no.
    #[error("Kafka refused the record: {0}")]
    Refused(String),
}

impl From<KafkaError> for PublishError {
    fn from(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Self::QueueFull,
            Some(
                RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::PurgeQueue
                | RDKafkaErrorCode::PurgeInflight,
            ) => Self::TimedOut,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::TooLarge,
            // Of a client that is beyond help already: it takes no record.
            Some(RDKafkaErrorCode::Fatal) => Self::Down,
            Some(RDKafkaErrorCode::InvalidTimestamp) => Self::ClockRefused,
            Some(code) => Self::Refused(format!("{code:?}")),
            None => Self::Refused(error.to_string()),
        }
    }
}

/// Counts it.
pub(super) fn recorded(error: PublishError) -> PublishError {
    let cause = match &error {
        PublishError::QueueFull => "queue_full",
        PublishError::Down => "down",
        PublishError::TimedOut => "timed_out",
        PublishError::ClockRefused => "clock",
        PublishError::TooLarge | PublishError::Refused(_) => "refused",
    };
    counter!(PUBLISH_FAILURES, "cause" => cause).increment(1);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafkas_codes_are_told_apart() {
        for (code, error) in [
            (RDKafkaErrorCode::QueueFull, PublishError::QueueFull),
            (RDKafkaErrorCode::MessageTimedOut, PublishError::TimedOut),
            (RDKafkaErrorCode::MessageSizeTooLarge, PublishError::TooLarge),
            (RDKafkaErrorCode::Fatal, PublishError::Down),
            (RDKafkaErrorCode::InvalidTimestamp, PublishError::ClockRefused),
            (
                RDKafkaErrorCode::UnknownTopicOrPartition,
                PublishError::Refused("UnknownTopicOrPartition".to_owned()),
            ),
        ] {
            assert_eq!(PublishError::from(KafkaError::MessageProduction(code)), error);
        }
    }
}
