//! The log, read between two offsets of a partition without a consumer group's doing: nothing is joined, nothing committed.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};
use tokio::task::spawn_blocking;

use super::{
    client::create_client,
    consumer::SETTINGS,
    fetch_error::FetchError,
    group::Notes,
    partition_queue::{Fetched, PartitionQueue},
};
use crate::{
    batch::Record,
    config::{KafkaConfig, KafkaSettings},
    log::{FetchFault, offset_after},
};

/// Longest silence of the brokers in the middle of a log.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait for records at a time.
const PAUSE: Duration = Duration::from_millis(50);
/// Most records taken out of the queue at a time.
const DRAIN_MAX: usize = 1_024;

/// The log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A setting is wrong, or the partition cannot be assigned.
    #[error("a Kafka client for reading the log cannot be set up")]
    SetUp(#[source] KafkaError),
    /// The log's start has passed the offset that is to be read next.
    #[error("the log of partition {partition} has lost offset {offset} while it was read")]
    StartPassed {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// The brokers sent nothing for too long; why, where they said so.
    #[error("Kafka has sent nothing of partition {partition} after offset {offset} for {} s", STALL_TIMEOUT.as_secs())]
    Stalled {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// The last error.
        source: Option<FetchError>,
    },
    /// Records cannot be read: not authorised, a codec that this build lacks, corrupt.
    #[error("partition {partition} cannot be read at offset {offset}")]
    Unreadable {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What librdkafka says.
        source: FetchError,
    },
}

/// What a turn of reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// The end was reached: the bound, or the last committed record.
    End,
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

/// Reads these ranges from end to end, one after the other.
///
/// `each` sees every committed record and adds it to what has been found, which is returned.
pub async fn read_ranges<T: Send + 'static>(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ranges: Vec<Range>,
    mut found: T,
    each: impl Fn(&mut T, &Record<'_>) + Send + 'static,
) -> Result<T, LogError> {
    let (kafka, settings) = (kafka.clone(), settings.clone());
    let read = move || {
        let mut ranges = ranges.into_iter().filter(|range| range.start < range.end);
        let Some(first) = ranges.next() else { return Ok(found) };
        let mut reader = LogReader::open(&kafka, &settings, first)?;
        loop {
            while reader.read(|record| each(&mut found, record))? == Progress::More {}
            match ranges.next() {
                Some(range) => reader.turn_to(range)?,
                None => return Ok(found),
            }
        }
    };
    spawn_blocking(read).await.expect("reading does not panic")
}

/// Reads one range at a time; used by the thread that made it.
pub struct LogReader {
    // Declared before the client, so that it is dropped before it.
    queue: PartitionQueue,
    client: BaseConsumer<Notes>,
    topic: String,
    partition: i32,
    /// The first offset that has not been read.
    next: i64,
    until: i64,
    /// Time spent waiting for a record since the last one. The caller's own pauses do not count.
    waited: Duration,
    /// Why the last fetch failed, where it did.
    failed: Option<FetchError>,
}

impl LogReader {
    /// Begins to read committed records of these offsets.
    pub fn open(kafka: &KafkaConfig, settings: &KafkaSettings, range: Range) -> Result<Self, LogError> {
        let Range { partition, start: next, end: until } = range;
        let mut ours = SETTINGS.to_vec();
        // A client without a group's name assigns nothing; one that never subscribes does not join it.
        ours.extend([
            ("group.id", kafka.kafka_group.as_str()),
            // That a log ends in control records shows when a fetch comes back empty.
            ("fetch.wait.max.ms", "20"),
        ]);
        let client: BaseConsumer<Notes> =
            create_client(kafka, settings, &ours, Notes::default()).map_err(LogError::SetUp)?;
        let topic = kafka.kafka_topic.clone();
        let queue = start(&client, &topic, partition, next)?;
        Ok(Self { queue, client, topic, partition, next, until, waited: Duration::ZERO, failed: None })
    }

    /// Goes on with other offsets.
    fn turn_to(&mut self, range: Range) -> Result<(), LogError> {
        self.queue = start(&self.client, &self.topic, range.partition, range.start)?;
        (self.partition, self.next, self.until) = (range.partition, range.start, range.end);
        (self.waited, self.failed) = (Duration::ZERO, None);
        Ok(())
    }

    /// Hands on the records that are there, or waits a moment for some.
    pub fn read(&mut self, mut each: impl FnMut(&Record<'_>)) -> Result<Progress, LogError> {
        if let Some(Err(error)) = self.client.poll(Duration::ZERO) {
            Notes::complain(&error);
        }
        let (started, first) = (Instant::now(), self.next);
        let drained = self.queue.drain(DRAIN_MAX);
        for item in drained.items() {
            match item {
                Fetched::Record(record) if record.offset >= self.until => return Ok(Progress::End),
                Fetched::Record(record) => {
                    self.next = offset_after(record.offset);
                    self.failed = None;
                    each(&record);
                    if self.next >= self.until {
                        return Ok(Progress::End);
                    }
                }
                Fetched::End(_) => return Ok(Progress::End),
                // What follows a failed fetch says nothing of what lies between: it is read again from here.
                Fetched::Failed(error) => {
                    self.on_failed(error)?;
                    break;
                }
            }
        }
        if drained.len() == 0 {
            thread::park_timeout(PAUSE);
        }
        // Errors are no sign of life.
        self.waited = if self.next > first { Duration::ZERO } else { self.waited + started.elapsed() };
        if self.waited >= STALL_TIMEOUT {
            let (partition, offset) = (self.partition, self.next);
            return Err(LogError::Stalled { partition, offset, source: self.failed.take() });
        }
        Ok(Progress::More)
    }

    fn on_failed(&mut self, error: FetchError) -> Result<(), LogError> {
        let (partition, offset) = (self.partition, self.next);
        match error.fault {
            FetchFault::OffsetOutOfRange => return Err(LogError::StartPassed { partition, offset }),
            FetchFault::Lasting(_) => return Err(LogError::Unreadable { partition, offset, source: error }),
            FetchFault::Passing => self.failed = Some(error),
        }
        thread::park_timeout(PAUSE);
        self.queue = start(&self.client, &self.topic, partition, offset)?;
        Ok(())
    }
}

/// Has the partition read from an offset on.
fn start(
    client: &BaseConsumer<Notes>,
    topic: &str,
    partition: i32,
    from: i64,
) -> Result<PartitionQueue, LogError> {
    let queue =
        PartitionQueue::split(client.client(), topic, partition, thread::current()).ok_or_else(|| {
            LogError::SetUp(KafkaError::Subscription(format!("no queue for partition {partition}")))
        })?;
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(LogError::SetUp)?;
    client.assign(&list).map_err(LogError::SetUp)?;
    Ok(queue)
}

impl Drop for LogReader {
    fn drop(&mut self) {
        // Closing a client waits for answers to what becomes of its partitions; nobody else gives them.
        self.client.context().close();
        if let Err(error) = self.client.unassign() {
            tracing::debug!(error = %error, kafka.partition = self.partition, "partition not unassigned");
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        mocking::MockCluster,
        producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
        types::{RDKafkaApiKey, RDKafkaRespErr},
    };

    use super::*;

    const TOPIC: &str = "readings";

    /// A cluster with three records in each of two partitions.
    fn cluster() -> (MockCluster<'static, DefaultProducerContext>, KafkaConfig) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 2, 1).unwrap();
        let kafka = KafkaConfig {
            kafka_brokers: cluster.bootstrap_servers(),
            kafka_topic: TOPIC.to_owned(),
            kafka_group: "none".to_owned(),
        };
        let producer: BaseProducer =
            create_client(&kafka, &KafkaSettings::default(), &[], DefaultProducerContext).unwrap();
        for number in 0..6 {
            producer.send(BaseRecord::<(), str>::to(TOPIC).partition(number % 2).payload("{}")).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        (cluster, kafka)
    }

    fn read_all(kafka: &KafkaConfig, partition: i32) -> Result<usize, LogError> {
        let range = Range { partition, start: 0, end: 3 };
        let mut reader = LogReader::open(kafka, &KafkaSettings::default(), range).unwrap();
        let mut records = 0;
        while reader.read(|_| records += 1)? == Progress::More {}
        Ok(records)
    }

    #[test]
    fn an_error_that_stays_ends_the_reading_with_its_reason() {
        for (code, words) in [
            (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed"),
            (RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, "compression"),
        ] {
            let (cluster, kafka) = cluster();
            cluster.request_errors(RDKafkaApiKey::Fetch, &[code; 100]);
            let error = read_all(&kafka, 1).unwrap_err();
            assert!(matches!(error, LogError::Unreadable { partition: 1, offset: 0, .. }), "{error:?}");
            let told = format!("{:#}", anyhow::Error::from(error));
            assert!(told.contains("partition 1") && told.contains(words), "{told}");
            cluster.clear_request_errors(RDKafkaApiKey::Fetch);
            assert_eq!(read_all(&kafka, 1).unwrap(), 3);
        }
    }

    #[test]
    fn an_error_that_passes_costs_nothing() {
        let (cluster, kafka) = cluster();
        cluster.request_errors(
            RDKafkaApiKey::Fetch,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 2],
        );
        assert_eq!(read_all(&kafka, 0).unwrap(), 3);
    }
}
