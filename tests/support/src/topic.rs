//! A topic of the test's own.

use std::time::Duration;

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use sensorpipe::{
    config::{KafkaConfig, KafkaSettings, TopicConfig},
    kafka::{ensure_sensors_topic, ensure_topic, find_topic},
};

use crate::{block_on, config, server, unique_name};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A topic that is deleted with the value.
pub struct TestTopic {
    /// Its name; the test's consumer group has the same.
    pub name: String,
    /// Where Kafka is.
    pub brokers: String,
    /// How many partitions it was made with.
    pub partitions: i32,
}

impl TestTopic {
    /// A new topic, made as `sensorpipe migrate` makes it.
    pub async fn create(partitions: i32) -> Self {
        let topic = Self::name_only(partitions);
        topic.ensure().await;
        topic
    }

    /// A new topic on another broker than the environment's, made as `sensorpipe migrate` makes it.
    pub async fn create_at(brokers: &str, partitions: i32) -> Self {
        let topic = Self { name: unique_name("topic"), brokers: brokers.to_owned(), partitions };
        topic.ensure().await;
        topic
    }

    /// Makes the topic where it is not there, as `sensorpipe migrate` does.
    pub async fn ensure(&self) {
        let (kafka, settings) = (self.config(), KafkaSettings::default());
        let topic = self.settings();
        let (readings, sensors) = tokio::join!(
            ensure_topic(&kafka, &settings, &topic),
            ensure_sensors_topic(&kafka, &settings, &topic)
        );
        readings.expect("a topic can be made");
        sensors.expect("one for sensors can be made");
    }

    /// How it is made. Records with timestamps of long ago stay: Kafka looks for what to delete each five minutes.
    fn settings(&self) -> TopicConfig {
        config(&["--kafka-partitions", &self.partitions.to_string(), "--kafka-retention", "36500days"])
    }

    /// A name for a topic that the test makes, or has made, by itself; deleted as well.
    pub fn name_only(partitions: i32) -> Self {
        Self { name: unique_name("topic"), brokers: server("KAFKA_BROKERS"), partitions }
    }

    /// The topic's id.
    pub async fn id(&self) -> String {
        let found = find_topic(&self.config(), &KafkaSettings::default()).await;
        found.expect("the topic is there").identity.topic_id
    }

    /// Makes the topic unless it is there; whether it is a new one now.
    pub async fn try_ensure(&self) -> bool {
        ensure_topic(&self.config(), &KafkaSettings::default(), &self.settings())
            .await
            .is_ok_and(|topic| topic.is_new)
    }

    /// The configuration that leads here.
    pub fn config(&self) -> KafkaConfig {
        config(&["--kafka-brokers", &self.brokers, "--kafka-topic", &self.name, "--kafka-group", &self.name])
    }

    /// Deletes the topic now.
    pub async fn delete(&self) {
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let results = self.admin().delete_topics(&[&self.name], &options).await.expect("Kafka answers");
        for result in results {
            result.unwrap_or_else(|(name, code)| panic!("{name} cannot be deleted: {code}"));
        }
    }

    /// The first offset that each partition's log has, and the one after its last; in partition order.
    pub async fn watermarks(&self) -> Vec<(i64, i64)> {
        let consumer: BaseConsumer = self.client_config().create().expect("a consumer can be made");
        let (name, partitions) = (self.name.clone(), self.partitions);
        tokio::task::spawn_blocking(move || {
            (0..partitions)
                .map(|partition| {
                    consumer.fetch_watermarks(&name, partition, TIMEOUT).expect("Kafka knows the partition")
                })
                .collect()
        })
        .await
        .expect("asking does not panic")
    }

    /// The offsets that the test's consumer group has committed to Kafka, -1 where none; in partition order.
    pub async fn committed_by_group(&self) -> Vec<i64> {
        let mut config = self.client_config();
        let consumer: BaseConsumer =
            config.set("group.id", &self.name).create().expect("a consumer can be made");
        let (name, partitions) = (self.name.clone(), self.partitions);
        tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&name, 0, partitions - 1);
            let committed = consumer.committed_offsets(list, TIMEOUT).expect("Kafka knows the group");
            committed
                .elements()
                .iter()
                .map(|element| element.offset().to_raw().unwrap_or(-1).max(-1))
                .collect()
        })
        .await
        .expect("asking does not panic")
    }

    /// How many members the test's consumer group has, going by the broker.
    pub async fn group_member_count(&self) -> usize {
        let consumer: BaseConsumer = self.client_config().create().expect("a consumer can be made");
        let name = self.name.clone();
        tokio::task::spawn_blocking(move || {
            let groups = consumer.fetch_group_list(Some(&name), TIMEOUT).expect("Kafka answers");
            groups.groups().iter().map(|group| group.members().len()).sum()
        })
        .await
        .expect("asking does not panic")
    }

    /// Deletes the records before these offsets, as retention does.
    pub async fn delete_before(&self, offsets: &[(i32, i64)]) {
        let mut list = TopicPartitionList::new();
        for &(partition, offset) in offsets {
            list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).expect("a valid offset");
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let deleted = self.admin().delete_records(&list, &options).await.expect("Kafka answers");
        for element in deleted.elements() {
            element.error().expect("records can be deleted");
        }
    }

    /// A client for what rdkafka's admin offers.
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client_config().create().expect("an admin client can be made")
    }

    /// Settings for a client of the test's own.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }
}

impl Drop for TestTopic {
    fn drop(&mut self) {
        let (admin, name) = (self.admin(), self.name.as_str());
        let sensors = self.config().of_sensors().kafka_topic;
        let names = [name, sensors.as_str()];
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        // A test may have deleted it, and Kafka may be down for it: nothing to fail for.
        if let Err(error) = block_on(async move { admin.delete_topics(&names, &options).await }) {
            eprintln!("topic {name} stays behind: {error}");
        }
    }
}
