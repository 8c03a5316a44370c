//! Why a log cannot be read on.

use std::time::Duration;

use rdkafka::error::KafkaError;

use super::fetch_error::FetchError;

/// Longest silence of the brokers in the middle of a log.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A setting is wrong, or the partition cannot be assigned.
    #[error("a Kafka client for reading the log cannot be set up")]
    SetUp(#[source] KafkaError),
    /// An error after which the client is of no use.
    #[error("the Kafka client that reads the log failed for good")]
    Client(#[source] KafkaError),
    /// The log's start has passed the offset that is to be read next.
    #[error("the log of partition {partition} has lost offset {offset} while it was read")]
    StartPassed {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// The brokers sent nothing of any partition for too long; why, where something is known.
    #[error("Kafka has sent nothing of partition {partition} after offset {offset} for {} s", STALL_TIMEOUT.as_secs())]
    Stalled {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// The last error that was seen, of whichever partition or broker.
        source: Option<FetchError>,
    },
    /// Records cannot be read: not authorised, a codec that this build lacks, corrupt.
    #[error("partition {partition} cannot be read at offset {offset}")]
    Unreadable {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What librdkafka says.
        source: FetchError,
    },
}
