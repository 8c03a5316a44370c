//! Why records of a partition cannot be fetched: each error of librdkafka's has a name here, and an effect.

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use crate::log::{FetchFault, Unreadable};

/// A fetch of a partition failed; nothing is known of the records that it was to bring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct FetchError {
    /// What kind of error it is.
    pub fault: FetchFault,
    /// What librdkafka says of it.
    pub detail: String,
}

impl FetchError {
    /// An error as librdkafka reports it in a partition's queue. Brokers may send codes that librdkafka has no name for.
    pub(super) fn new(code: i32, told: &str) -> Self {
        let known = RDKafkaRespErr::try_from(code).map(RDKafkaErrorCode::from);
        let name = known.map_or_else(|_| format!("code {code}"), |known| format!("{known:?}"));
        let detail = if told.is_empty() { name } else { format!("{told} ({name})") };
        let fault = match known {
            Ok(known) => fault_of(known),
            Err(_) if code == INCONSISTENT_TOPIC_ID => FetchFault::Passing,
            Err(_) => FetchFault::Lasting(Unreadable::FetchFailed),
        };
        Self { fault, detail }
    }

    /// An error of the client, which it gets over by itself: it says why nothing can be fetched.
    pub(super) fn of_client(error: &KafkaError) -> Self {
        Self { fault: FetchFault::Passing, detail: error.to_string() }
    }
}

/// Of a topic that was recreated a moment ago; the crate has no name for it.
const INCONSISTENT_TOPIC_ID: i32 = 103;

/// Every code is something; what nobody has heard of is an error that lasts.
fn fault_of(code: RDKafkaErrorCode) -> FetchFault {
    use RDKafkaErrorCode as Code;
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => FetchFault::OffsetOutOfRange,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication => FetchFault::Lasting(Unreadable::NotAuthorized),
        Code::NotImplemented | Code::UnsupportedCompressionType => {
            FetchFault::Lasting(Unreadable::UnsupportedCodec)
        }
        Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord => FetchFault::Lasting(Unreadable::Corrupt),
        code if is_passing(code) => FetchFault::Passing,
        _ => FetchFault::Lasting(Unreadable::FetchFailed),
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
            assert_eq!(fault_of(code), fault, "{code:?}");
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
