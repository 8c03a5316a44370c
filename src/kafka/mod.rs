//! Everything that speaks to Kafka; the only place that names `rdkafka`.

mod bootstrap;
mod bulk_producer;
mod client;
mod consumer;
mod describe;
mod group;
mod group_members;
mod live_topic;
mod observer;
mod partition_queue;
mod partitioner;
pub mod producer;
mod publish_error;
mod record_headers;
mod topic;
mod topic_log;

pub use bulk_producer::BulkProducer;
pub use consumer::{Consumer, ConsumerError, Watermarks};
pub use describe::DescribeError;
pub use group::GroupEvent;
pub use group_members::GroupMember;
pub use live_topic::LiveTopic;
pub use observer::{LogObserver, ObserveError};
pub use record_headers::RecordHeaders;
pub use topic::{
    Topic, TopicError, TopicIdentity, ensure_topic, find_topic, identify, log_ends, partition_count,
    refuse_compacted,
};
pub use topic_log::{Range, TopicLog, offsets_at, read_ranges, topic_log};
