//! The log as an operator's commands look at it: apart from any group, once, from end to end.

use std::collections::BTreeMap;

use rdkafka::{
    Offset, TopicPartitionList,
    client::Client,
    consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext},
    topic_partition_list::TopicPartitionListElem,
};
use tokio::task::spawn_blocking;

use super::{
    client::create_client,
    topic::{AdminSession, REQUEST_TIMEOUT, TopicError, partition_count},
};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    log::{TopicIdentity, Watermarks},
    reading::Timestamp,
};

/// A topic that is there, and what its log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicLog {
    /// Which one it is.
    pub identity: TopicIdentity,
    /// First and next offset of each partition.
    pub partitions: BTreeMap<i32, Watermarks>,
}

/// Asks for the topic's identity and the ends of its log; waits up to 30 s for Kafka to come up, not for the topic.
pub async fn topic_log(kafka: &KafkaConfig, settings: &KafkaSettings) -> Result<TopicLog, TopicError> {
    let admin = AdminSession::open(kafka, settings)?;
    let identity = admin.find().await?.identity;
    let watermarks = |client: &Client<_>, topic: &str| {
        (0..partition_count(client, topic, REQUEST_TIMEOUT)? as i32)
            .map(|partition| {
                let (low, high) = client
                    .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
                    .map_err(TopicError::LogEnds)?;
                Ok((partition, Watermarks { low, high }))
            })
            .collect()
    };
    Ok(TopicLog { identity, partitions: admin.ask(watermarks).await? })
}

/// For each partition the offset of the first record with this timestamp or a later one; the end where there is none.
pub async fn offsets_at(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    log: &TopicLog,
    time: Timestamp,
) -> Result<BTreeMap<i32, i64>, TopicError> {
    let client: BaseConsumer =
        create_client(kafka, settings, &[], DefaultConsumerContext).map_err(TopicError::Client)?;
    let (topic, partitions) = (kafka.kafka_topic.clone(), log.partitions.clone());
    let ask = move || {
        // For this question, the offset is a time in milliseconds; rounded up, so that nothing earlier is found.
        let millis = Offset::Offset(time.micros().div_euclid(1_000) + i64::from(time.micros() % 1_000 != 0));
        let mut times = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions.keys() {
            times.add_partition_offset(&topic, partition, millis).map_err(TopicError::LogEnds)?;
        }
        let found = client.offsets_for_times(times, REQUEST_TIMEOUT).map_err(TopicError::LogEnds)?;
        partitions
            .iter()
            .map(|(&partition, log)| {
                let element = found.find_partition(&topic, partition);
                element
                    .as_ref()
                    .map_or(Ok(()), TopicPartitionListElem::error)
                    .map_err(TopicError::LogEnds)?;
                let offset =
                    element.and_then(|element| element.offset().to_raw()).filter(|&offset| offset >= 0);
                Ok((partition, offset.unwrap_or(log.high)))
            })
            .collect()
    };
    spawn_blocking(ask).await.expect("a question does not panic")
}
