//! How the client of a member is set up.

use rdkafka::{consumer::BaseConsumer, error::KafkaError};

use crate::{
    config::{KafkaConfig, KafkaSettings},
    kafka::{client::create_client, group::Notes, leaving::Leaving},
};

/// Settings that differ from librdkafka's defaults, and why.
pub(in crate::kafka) const SETTINGS: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // The database knows where to start. An offset that the log does not have is for an operator to see.
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
    // Says up to where a log was read, past control records and aborted transactions; nothing else does.
    ("enable.partition.eof", "true"),
    // Bytes that a disk or the network has changed are an error, not a reading.
    ("check.crcs", "true"),
    // After a full local queue the next fetch waits this long; the default, a second, caps a fast consumer.
    ("fetch.queue.backoff.ms", "5"),
    // Prefetched per partition: the share that a batch takes of it, and a bound on memory whatever the backlog. A
    // small record costs librdkafka some 300 bytes besides its own, so that their number counts as well; a fetch is
    // compressed and may hold as many again. More was not faster.
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.message.max.bytes", "1048576"),
    // New partitions and a returned broker are noticed within seconds.
    ("topic.metadata.refresh.interval.ms", "10000"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.nagle.disable", "true"),
];

/// For the classic group protocol alone; the new one (KIP-848) has the broker decide these and refuses them.
const CLASSIC_SETTINGS: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "1000"),
];

/// The client of the member of this number in the process, and how it leaves the group.
pub(super) fn create_member(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    index: usize,
) -> Result<(BaseConsumer<Notes>, Leaving), KafkaError> {
    let is_classic = settings.0.get("group.protocol").is_none_or(|protocol| protocol == "classic");
    let mut ours = SETTINGS.to_vec();
    ours.push(("group.id", &kafka.kafka_group));
    if is_classic {
        ours.extend(CLASSIC_SETTINGS);
    }
    let mut settings = settings.clone();
    let is_static = match settings.0.get_mut("group.instance.id") {
        Some(instance) => {
            *instance = format!("{instance}-{index}");
            true
        }
        None => false,
    };
    let client = create_client(kafka, &settings, &ours, Notes::default())?;
    Ok((client, Leaving::of(is_classic, is_static)))
}
