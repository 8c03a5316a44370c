//! Everything that speaks to Kafka; the only place that names `rdkafka`.

mod client;
mod describe;
pub mod producer;
mod topic;

pub use describe::DescribeError;
pub use topic::{
    Topic, TopicError, TopicIdentity, ensure_topic, find_topic, identify, partition_count, refuse_compacted,
};
