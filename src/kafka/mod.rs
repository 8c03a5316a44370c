//! Everything that speaks to Kafka; the only place that names `rdkafka`.

mod bootstrap;
mod bulk_producer;
mod client;
mod consumer;
mod describe;
mod ends;
mod group;
mod live_topic;
mod partition_queue;
mod partitioner;
pub mod producer;
mod publish_error;
mod record_headers;
mod topic;

pub use bulk_producer::BulkProducer;
pub use consumer::{Consumer, ConsumerError, Watermarks};
pub use describe::DescribeError;
pub use group::GroupEvent;
pub use live_topic::LiveTopic;
pub use record_headers::RecordHeaders;
pub use topic::{
    Topic, TopicError, TopicIdentity, ensure_topic, find_topic, identify, log_ends, partition_count,
    refuse_compacted,
};
