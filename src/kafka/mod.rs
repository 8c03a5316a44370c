//! Everything that speaks to Kafka; the only place that names `rdkafka`.

mod bootstrap;
mod client;
mod committed;
mod connection;
mod consumer;
mod dead_letter_producer;
mod describe;
mod ends;
mod fetch_error;
mod first_records;
mod group;
mod group_members;
mod leaving;
mod live_topic;
mod log_error;
mod log_range;
mod log_reader;
mod member_assignment;
mod membership;
mod observer;
mod partition_queue;
mod partitioner;
pub mod producer;
mod producer_client;
#[cfg(test)]
mod property_list;
mod publish_error;
mod record_headers;
mod sensor_topic;
mod topic;
mod topic_log;

pub use client::{InvalidSettings, create_client, setting_fault};
pub use committed::committed_offsets;
pub use consumer::{Consumer, ConsumerError, TurnTaken};
pub use dead_letter_producer::{DeadLetterProducer, DeadLetterRecord};
pub use describe::DescribeError;
pub use fetch_error::FetchError;
pub use first_records::{FirstRecord, first_records};
pub use group::GroupEvent;
pub use group_members::{GroupMember, GroupMembers};
pub use live_topic::LiveTopic;
pub use log_error::LogError;
pub use log_range::Range;
pub use log_reader::{LogReader, Progress, read_ranges};
pub use observer::{LogObserver, ObserveError};
pub use partition_queue::Fetched;
pub use publish_error::PublishError;
pub use record_headers::RecordHeaders;
pub use sensor_topic::{ClaimError, SensorTopic, UnreadError};
pub use topic::{
    Topic, TopicError, check_settings, ensure_sensors_topic, ensure_topic, find_topic, identify,
    partition_count,
};
pub use topic_log::{TopicLog, offsets_at, topic_log};
