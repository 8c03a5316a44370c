//! What a group has committed to Kafka, asked from outside of it.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext},
};
use tokio::task::spawn_blocking;

use super::{client::create_client, topic::TopicError};
use crate::config::{KafkaConfig, KafkaSettings};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The offsets that the group has committed for the first so many partitions of the topic; those without are left
/// out.
pub async fn committed_offsets(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    partitions: usize,
) -> Result<Vec<(i32, i64)>, TopicError> {
    let client: BaseConsumer =
        create_client(kafka, settings, &[("group.id", &kafka.kafka_group)], DefaultConsumerContext)
            .map_err(TopicError::Client)?;
    let topic = kafka.kafka_topic.clone();
    let asking = move || {
        let mut list = TopicPartitionList::with_capacity(partitions);
        for partition in 0..partitions as i32 {
            list.add_partition(&topic, partition);
        }
        let list = client.committed_offsets(list, REQUEST_TIMEOUT).map_err(TopicError::Committed)?;
        let known = |(partition, offset)| match offset {
            Offset::Offset(offset) => Some((partition, offset)),
            _ => None,
        };
        let elements = list.elements();
        Ok(elements.iter().map(|element| (element.partition(), element.offset())).filter_map(known).collect())
    };
    spawn_blocking(asking).await.expect("asking does not panic")
}
