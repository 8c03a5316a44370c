//! The log as an operator's commands look at it: apart from any group, once, from end to end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    client::Client,
    consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext},
    error::KafkaError,
    message::Message as _,
    topic_partition_list::TopicPartitionListElem,
    types::RDKafkaErrorCode,
};
use tokio::task::spawn_blocking;

use super::{
    client::create_client,
    topic::{AdminSession, REQUEST_TIMEOUT, TopicError, partition_count},
};
use crate::{
    batch::Record,
    config::{KafkaConfig, KafkaSettings},
    log::{TopicIdentity, Watermarks, offset_after},
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

/// Offsets of a partition from one to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last.
    pub end: i64,
}

/// Nothing for so long means that Kafka does not give more.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

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

/// Reads these ranges from end to end, without a place in the group and without a trace there.
///
/// `each` sees every committed record, in order per partition, and adds it to what has been found, which is returned.
pub async fn read_ranges<T: Send + 'static>(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ranges: Vec<Range>,
    mut found: T,
    each: impl Fn(&mut T, &Record<'_>) + Send + 'static,
) -> Result<T, TopicError> {
    let ours = [
        // Named for its rights alone: it is not joined, and nothing is committed.
        ("group.id", kafka.kafka_group.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("allow.auto.create.topics", "false"),
        ("fetch.queue.backoff.ms", "5"),
    ];
    let client: BaseConsumer =
        create_client(kafka, settings, &ours, DefaultConsumerContext).map_err(TopicError::Client)?;
    let topic = kafka.kafka_topic.clone();
    let read = move || {
        read_all(&client, &topic, &ranges, &mut |record| each(&mut found, record))?;
        Ok(found)
    };
    spawn_blocking(read).await.expect("reading does not panic")
}

fn read_all(
    client: &BaseConsumer,
    topic: &str,
    ranges: &[Range],
    each: &mut impl FnMut(&Record<'_>),
) -> Result<(), TopicError> {
    let mut open: BTreeMap<i32, i64> = ranges
        .iter()
        .filter(|range| range.start < range.end)
        .map(|range| (range.partition, range.end))
        .collect();
    let mut list = TopicPartitionList::with_capacity(open.len());
    for range in ranges.iter().filter(|range| open.contains_key(&range.partition)) {
        list.add_partition_offset(topic, range.partition, Offset::Offset(range.start))
            .map_err(TopicError::Read)?;
    }
    client.assign(&list).map_err(TopicError::Read)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        let message = match client.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => message,
            // What lies behind it is not committed yet, or control records.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
                continue;
            }
            Some(Err(error)) if is_final(&error) || heard.elapsed() >= STALL_TIMEOUT => {
                return Err(TopicError::Read(error));
            }
            None if heard.elapsed() >= STALL_TIMEOUT => {
                return Err(TopicError::Read(KafkaError::NoMessageReceived));
            }
            Some(Err(_)) | None => continue,
        };
        heard = Instant::now();
        let (partition, offset) = (message.partition(), message.offset());
        let Some(&end) = open.get(&partition) else { continue };
        if offset < end {
            each(&Record {
                partition,
                offset,
                timestamp: message
                    .timestamp()
                    .to_millis()
                    .filter(|millis| *millis >= 0)
                    .map(Timestamp::from_millis),
                key: message.key(),
                payload: message.payload(),
                headers: vec![],
            });
        }
        if offset_after(offset) >= end {
            open.remove(&partition);
        }
    }
    Ok(())
}

/// Whether trying on is of no use, as where retention took a record before it was read.
fn is_final(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumptionFatal(_)
            | KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::UnknownTopicOrPartition
            )
    )
}
