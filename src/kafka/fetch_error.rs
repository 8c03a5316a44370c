//! Why records of a partition cannot be fetched: each error of librdkafka's has a name here, and an effect.

use rdkafka::{error::RDKafkaErrorCode, types::RDKafkaRespErr};

/// A fetch of a partition failed; nothing is known of the records that it was to bring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct FetchError {
    /// What kind of error it is.
    pub fault: FetchFault,
    /// What librdkafka says of it.
    pub detail: String,
}

/// The kinds of errors, by what is to be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchFault {
    /// The log does not have the offset: only an operator can say how to go on.
    OffsetOutOfRange,
    /// A broker is starting, moving, busy or out of reach: passes without anybody's doing.
    Passing,
    /// It needs somebody's doing, and goes on as soon as that is done.
    Lasting(Unreadable),
}

/// Why a partition's records cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unreadable {
    /// The broker does not let this client read the topic.
    NotAuthorized,
    /// The records are compressed in a way that this build cannot read.
    UnsupportedCodec,
    /// What the broker sent is not what was written: a checksum or a length is wrong.
    Corrupt,
    /// Any other error, or one that should have passed and has not.
    FetchFailed,
}

impl FetchError {
    /// An error as librdkafka reports it in a partition's queue. Brokers may send codes that librdkafka has no name for.
    pub(super) fn new(code: i32, told: &str) -> Self {
        let known = RDKafkaRespErr::try_from(code).map(RDKafkaErrorCode::from);
        let name = known.map_or_else(|_| format!("code {code}"), |known| format!("{known:?}"));
        let detail = if told.is_empty() { name } else { format!("{told} ({name})") };
        let fault = match known {
            Ok(known) => FetchFault::of(known),
            Err(_) if code == INCONSISTENT_TOPIC_ID => FetchFault::Passing,
            Err(_) => FetchFault::Lasting(Unreadable::FetchFailed),
        };
        Self { fault, detail }
    }
}

/// Of a topic that was recreated a moment ago; the crate has no name for it.
const INCONSISTENT_TOPIC_ID: i32 = 103;

impl FetchFault {
    /// Every code is something; what nobody has heard of is an error that lasts.
    fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => Self::OffsetOutOfRange,
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication => Self::Lasting(Unreadable::NotAuthorized),
            Code::NotImplemented | Code::UnsupportedCompressionType => {
                Self::Lasting(Unreadable::UnsupportedCodec)
            }
            Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidDifferentRecord => Self::Lasting(Unreadable::Corrupt),
            code if is_passing(code) => Self::Passing,
            _ => Self::Lasting(Unreadable::FetchFailed),
        }
    }
}

/// Codes that brokers and librdkafka give while partitions and connections move.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::Retry
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId
            | Code::KafkaStorageError
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::ListenerNotFound
            | Code::ThrottlingQuotaExceeded
    )
}

impl Unreadable {
    /// Every one of them.
    pub const ALL: [Self; 4] =
        [Self::NotAuthorized, Self::UnsupportedCodec, Self::Corrupt, Self::FetchFailed];

    /// Its name in logs, labels and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAuthorized => "not_authorized",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::Corrupt => "corrupt_records",
            Self::FetchFailed => "fetch_failed",
        }
    }

    /// What is wrong and what to do, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NotAuthorized => {
                "Kafka does not let this client read the topic: grant READ on the topic and on the group"
            }
            Self::UnsupportedCodec => {
                "records are compressed with a codec that this build cannot read: it reads gzip, snappy, lz4 and zstd"
            }
            Self::Corrupt => {
                "the broker sent records whose checksum or length is wrong: check the broker's disks and the network"
            }
            Self::FetchFailed => "fetching fails: see the broker's log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_a_name_and_an_effect() {
        use RDKafkaErrorCode as Code;
        for (code, fault) in [
            (Code::OffsetOutOfRange, FetchFault::OffsetOutOfRange),
            (Code::AutoOffsetReset, FetchFault::OffsetOutOfRange),
            (Code::NotLeaderForPartition, FetchFault::Passing),
            (Code::BrokerTransportFailure, FetchFault::Passing),
            (Code::TopicAuthorizationFailed, FetchFault::Lasting(Unreadable::NotAuthorized)),
            (Code::NotImplemented, FetchFault::Lasting(Unreadable::UnsupportedCodec)),
            (Code::BadMessage, FetchFault::Lasting(Unreadable::Corrupt)),
            (Code::Unknown, FetchFault::Lasting(Unreadable::FetchFailed)),
            (Code::PolicyViolation, FetchFault::Lasting(Unreadable::FetchFailed)),
        ] {
            assert_eq!(FetchFault::of(code), fault, "{code:?}");
        }
    }

    #[test]
    fn an_error_says_what_librdkafka_says() {
        let told = FetchError::new(RDKafkaErrorCode::NotImplemented as i32, "Decompression failed");
        assert_eq!(told.detail, "Decompression failed (NotImplemented)");
        assert_eq!(told.fault, FetchFault::Lasting(Unreadable::UnsupportedCodec));
        assert_eq!(FetchError::new(-199, "").detail, "BadMessage");
    }

    #[test]
    fn a_code_that_nobody_knows_is_an_error_all_the_same() {
        let unknown = FetchError::new(12_345, "Fetch failed");
        assert_eq!(unknown.detail, "Fetch failed (code 12345)");
        assert_eq!(unknown.fault, FetchFault::Lasting(Unreadable::FetchFailed));
        assert_eq!(FetchError::new(INCONSISTENT_TOPIC_ID, "").fault, FetchFault::Passing);
    }
}
