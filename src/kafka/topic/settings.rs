//! What a topic's settings must not be.

use std::{sync::Once, time::Duration};

use rdkafka::{
    client::{Client, ClientContext},
    types::RDKafkaErrorCode,
};

use super::{TopicError, failed_describe};
use crate::kafka::describe;

/// Refuses a topic whose `cleanup.policy` names compaction, and warns of one whose records get the broker's time. Blocks,
/// for `timeout` at most.
///
/// Where the topic's settings cannot be read this is said in the log, and nothing is refused.
pub fn check_settings<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<(), TopicError> {
    const ASKED: [&str; 2] = ["cleanup.policy", "message.timestamp.type"];
    match describe::describe_settings(client, topic, ASKED, timeout) {
        Ok([Some(policy), _]) if policy.contains("compact") => Err(TopicError::Compacted(topic.to_owned())),
        Ok([_, timestamp_type]) => {
            if timestamp_type.as_deref() == Some("LogAppendTime") {
                warn_of_append_time(topic);
            }
            Ok(())
        }
        // A broker that lets nobody ask, or has no such question.
        Err(error)
            if matches!(
                error.code,
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::UnsupportedFeature
            ) =>
        {
            tracing::warn!(
                kafka.topic = topic,
                error = %error,
                "the topic's settings cannot be read: make sure that its cleanup.policy is delete"
            );
            Ok(())
        }
        Err(source) => Err(failed_describe(topic, source)),
    }
}

/// Refuses a topic of sensors that retention deletes from; where its settings cannot be read, nothing is refused.
pub(super) fn check_sensors_settings<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<(), TopicError> {
    match describe::describe_settings(client, topic, ["cleanup.policy"], timeout) {
        Ok([Some(policy)]) if policy != "compact" => Err(TopicError::NotCompacted(topic.to_owned())),
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.code,
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::UnsupportedFeature
            ) =>
        {
            Ok(())
        }
        Err(source) => Err(failed_describe(topic, source)),
    }
}

/// Once in a process: its consumers ask about the topic whenever they join the group.
fn warn_of_append_time(topic: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            kafka.topic = topic,
            "the topic has message.timestamp.type=LogAppendTime: a reading without a timestamp gets the time at which \
             the broker appended its record, which is the same for a producer's whole batch; readings of one sensor \
             are then 1 us apart. Send timestamps, or set message.timestamp.type=CreateTime"
        );
    });
}
