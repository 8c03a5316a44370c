//! The log, read between two offsets of each partition without a consumer group's doing: nothing is joined, nothing
//! committed.

use std::{
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::Message as _,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    bootstrap::Bootstrap,
    client::create_client,
    consumer::SETTINGS,
    fetch_error::FetchError,
    group::Notes,
    log_error::{LogError, STALL_TIMEOUT},
    log_range::{OpenRange, Range, Turn},
    partition_queue::PartitionQueue,
};
use crate::{
    batch::Record,
    config::{KafkaConfig, KafkaSettings},
};

/// How long to wait for records at a time.
const PAUSE: Duration = Duration::from_millis(50);
/// What a turn of reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// The end was reached: the bound, or the last committed record.
    End,
}

/// Reads these ranges from end to end, all at the same time; at most one of each partition.
///
/// `each` sees every committed record, in order per partition, and adds it to what has been found, which is returned.
/// Reading stops where the future is dropped.
pub async fn read_ranges<T: Send + 'static>(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ranges: Vec<Range>,
    mut found: T,
    each: impl Fn(&mut T, &Record<'_>) + Send + 'static,
) -> Result<T, LogError> {
    let (kafka, settings) = (kafka.clone(), settings.clone());
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let read = move || {
        let mut reader = LogReader::open(&kafka, &settings, &ranges)?;
        while !stop.is_cancelled() && reader.read(|record| each(&mut found, record))? == Progress::More {}
        Ok(found)
    };
    spawn_blocking(read).await.expect("reading does not panic")
}

/// Reads ranges; used by the thread that made it.
pub struct LogReader {
    // Declared before the client, so that their queues are dropped before it.
    open: Vec<OpenRange>,
    client: Arc<BaseConsumer<Notes>>,
    bootstrap: Bootstrap,
    topic: String,
    /// Time spent waiting for a record since the last one. The caller's own pauses do not count.
    waited: Duration,
    /// The last error since then.
    last_error: Option<FetchError>,
}

impl LogReader {
    /// Begins to read committed records of these offsets, at most one range of each partition.
    pub fn open(kafka: &KafkaConfig, settings: &KafkaSettings, ranges: &[Range]) -> Result<Self, LogError> {
        let ranges: Vec<Range> = ranges.iter().copied().filter(|range| range.start < range.end).collect();
        // Each partition has a queue of its own: what is prefetched is bounded for all of them together.
        let share = |all: usize, most: usize| (all / ranges.len().max(1)).clamp(most / 128, most).to_string();
        let queued_records = share(100_000, 20_000);
        let queued_kbytes = share(65_536, 8_192);
        let fetched_bytes = share(67_108_864, 1_048_576);
        let mut ours = SETTINGS.to_vec();
        ours.extend([
            // A client without a group's name assigns nothing; one that never subscribes does not join it.
            ("group.id", kafka.kafka_group.as_str()),
            // That a log ends in control records shows when a fetch comes back empty.
            ("fetch.wait.max.ms", "20"),
            ("queued.min.messages", &queued_records),
            ("queued.max.messages.kbytes", &queued_kbytes),
            ("fetch.message.max.bytes", &fetched_bytes),
        ]);
        let client: BaseConsumer<Notes> =
            create_client(kafka, settings, &ours, Notes::default()).map_err(LogError::SetUp)?;
        let mut reader = Self {
            open: Vec::with_capacity(ranges.len()),
            client: Arc::new(client),
            bootstrap: Bootstrap::new(&kafka.kafka_brokers),
            topic: kafka.kafka_topic.clone(),
            waited: Duration::ZERO,
            last_error: None,
        };
        reader.assign(&ranges)?;
        Ok(reader)
    }

    /// Hands on the records that are there, or waits a moment for some.
    pub fn read(&mut self, mut each: impl FnMut(&Record<'_>)) -> Result<Progress, LogError> {
        let started = Instant::now();
        // Of these partitions nothing more can be taken before they are assigned again.
        let mut failed = Vec::from_iter(self.serve_client()?);
        let (mut ended, mut has_moved) = (Vec::new(), false);
        for range in &mut self.open {
            let (partition, first) = (range.unread.partition, range.unread.start);
            match range.drain(&mut each)? {
                Turn::More => {}
                Turn::End => ended.push(partition),
                Turn::Failed(error) => {
                    failed.push(partition);
                    self.last_error = Some(error);
                }
            }
            has_moved |= range.unread.start > first;
        }
        has_moved |= !ended.is_empty();
        self.unassign(&ended)?;
        if self.open.is_empty() {
            return Ok(Progress::End);
        }
        // Errors are no sign of life.
        self.bootstrap.note(self.client.client(), has_moved);
        if has_moved {
            (self.waited, self.last_error) = (Duration::ZERO, None);
        } else {
            thread::park_timeout(PAUSE);
            self.waited += started.elapsed();
            self.check_patience()?;
        }
        let again = self.unassign(&failed)?;
        self.assign(&again)?;
        Ok(Progress::More)
    }

    /// Sees what librdkafka says of the client; a partition, where a record of it came another way than its queue.
    fn serve_client(&mut self) -> Result<Option<i32>, LogError> {
        let event = self.client.poll(Duration::ZERO);
        match event.map(|event| event.map(|message| message.partition())) {
            None => {}
            Some(Ok(partition)) => return Ok(Some(partition)),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                // It is left open: librdkafka (2.12.1) waits for ever where such a client is closed.
                mem::forget(Arc::clone(&self.client));
                return Err(LogError::Client(error));
            }
            Some(Err(error)) => {
                Notes::complain(&error);
                self.last_error = Some(FetchError::of_client(&error));
            }
        }
        Ok(None)
    }

    /// Says why nothing comes, where that has lasted for too long.
    fn check_patience(&mut self) -> Result<(), LogError> {
        if self.waited < STALL_TIMEOUT {
            return Ok(());
        }
        let Range { partition, start: offset, .. } = self.open[0].unread;
        Err(LogError::Stalled { partition, offset, source: self.last_error.take() })
    }

    /// Has these ranges read.
    fn assign(&mut self, ranges: &[Range]) -> Result<(), LogError> {
        if ranges.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(ranges.len());
        for &unread in ranges {
            let Range { partition, start, .. } = unread;
            let queue =
                PartitionQueue::split(self.client.client(), &self.topic, partition, thread::current())
                    .ok_or_else(|| {
                        LogError::SetUp(KafkaError::Subscription(format!(
                            "no queue for partition {partition}"
                        )))
                    })?;
            list.add_partition_offset(&self.topic, partition, Offset::Offset(start))
                .map_err(LogError::SetUp)?;
            self.open.push(OpenRange { queue, unread });
        }
        self.client.incremental_assign(&list).map_err(LogError::SetUp)
    }

    /// Reads these partitions no more; what is unread of them.
    fn unassign(&mut self, partitions: &[i32]) -> Result<Vec<Range>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let is_named = |range: &OpenRange| partitions.contains(&range.unread.partition);
        let (closed, open): (Vec<_>, Vec<_>) = mem::take(&mut self.open).into_iter().partition(is_named);
        self.open = open;
        let unread: Vec<Range> = closed.into_iter().map(|range| range.unread).collect();
        let mut list = TopicPartitionList::with_capacity(unread.len());
        for range in &unread {
            list.add_partition(&self.topic, range.partition);
        }
        self.client.incremental_unassign(&list).map_err(LogError::SetUp)?;
        Ok(unread)
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        // Closing a client waits for answers to what becomes of its partitions; nobody else gives them.
        self.client.context().close();
        if let Err(error) = self.client.unassign() {
            tracing::debug!(error = %error, "partitions not unassigned");
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        bindings as native,
        mocking::MockCluster,
        producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
        types::{RDKafkaApiKey, RDKafkaRespErr as Code},
    };

    use super::*;

    const TOPIC: &str = "readings";

    /// A cluster with three records in each of two partitions, which it gives out one by one.
    fn cluster() -> (MockCluster<'static, DefaultProducerContext>, KafkaConfig) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 2, 1).unwrap();
        let kafka = KafkaConfig {
            kafka_brokers: cluster.bootstrap_servers(),
            kafka_topic: TOPIC.to_owned(),
            kafka_group: "none".to_owned(),
            kafka_sensors_topic: None,
        };
        let ours = [("batch.num.messages", "1")];
        let producer: BaseProducer =
            create_client(&kafka, &KafkaSettings::default(), &ours, DefaultProducerContext).unwrap();
        for number in 0..6 {
            producer.send(BaseRecord::<(), str>::to(TOPIC).partition(number % 2).payload("{}")).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        (cluster, kafka)
    }

    fn open(kafka: &KafkaConfig, ranges: &[Range]) -> LogReader {
        LogReader::open(kafka, &KafkaSettings::default(), ranges).unwrap()
    }

    fn of(partition: i32, end: i64) -> Range {
        Range { partition, start: 0, end }
    }

    /// Partition and offset of each record.
    fn read_all(kafka: &KafkaConfig, ranges: &[Range]) -> Result<Vec<(i32, i64)>, LogError> {
        let (mut reader, mut records) = (open(kafka, ranges), Vec::new());
        while reader.read(|record| records.push((record.partition, record.offset)))? == Progress::More {}
        records.sort_by_key(|&(partition, _)| partition);
        Ok(records)
    }

    #[test]
    fn an_error_that_stays_ends_the_reading_with_its_reason() {
        for (code, words) in [
            (Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed"),
            (Code::RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, "compression"),
        ] {
            let (cluster, kafka) = cluster();
            cluster.request_errors(RDKafkaApiKey::Fetch, &[code; 100]);
            let error = read_all(&kafka, &[of(1, 3)]).unwrap_err();
            assert!(matches!(error, LogError::Unreadable { partition: 1, offset: 0, .. }), "{error:?}");
            let told = format!("{:#}", anyhow::Error::from(error));
            assert!(told.contains("partition 1") && told.contains(words), "{told}");
            cluster.clear_request_errors(RDKafkaApiKey::Fetch);
            assert_eq!(read_all(&kafka, &[of(1, 3)]).unwrap(), [(1, 0), (1, 1), (1, 2)]);
        }
    }

    #[test]
    fn an_error_that_passes_costs_nothing() {
        const NONE: Code = Code::RD_KAFKA_RESP_ERR_NO_ERROR;
        // The first is librdkafka's own to deal with, the second comes to us.
        for passing in
            [Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT]
        {
            let (cluster, kafka) = cluster();
            let errors = [passing, passing, NONE, passing, NONE, passing];
            cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
            let both = [of(0, 2), of(1, 2)];
            assert_eq!(read_all(&kafka, &both).unwrap(), [(0, 0), (0, 1), (1, 0), (1, 1)], "{passing:?}");
        }
    }

    #[test]
    fn a_range_ends_where_the_log_does_and_an_empty_one_at_once() {
        let (_cluster, kafka) = cluster();
        let three = [(1, 0), (1, 1), (1, 2)];
        assert_eq!(read_all(&kafka, &[of(0, 0), of(1, 100)]).unwrap(), three);
        assert_eq!(read_all(&kafka, &[of(0, 0)]).unwrap(), []);
    }

    #[test]
    fn a_client_that_failed_for_good_is_an_error_at_once() {
        let (_cluster, kafka) = cluster();
        let mut reader = open(&kafka, &[of(0, 3)]);
        // SAFETY: the client is alive, and librdkafka copies the reason.
        #[expect(unsafe_code, reason = "nothing else makes a client that is not in a group fail for good")]
        unsafe {
            let fenced = Code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
            native::rd_kafka_test_fatal_error(
                reader.client.client().native_ptr(),
                fenced,
                c"a test".as_ptr(),
            );
        }
        let started = Instant::now();
        let error = loop {
            match reader.read(|_| {}) {
                Ok(Progress::More) => {}
                Ok(Progress::End) => panic!("read to the end"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, LogError::Client(_)), "{error:?}");
        drop(reader);
        assert!(started.elapsed() < STALL_TIMEOUT / 4, "{:?}", started.elapsed());
    }

    #[test]
    fn a_stall_names_the_last_error() {
        let (cluster, kafka) = cluster();
        cluster.broker_down(1).unwrap();
        let mut reader = open(&kafka, &[of(0, 3)]);
        while reader.last_error.is_none() {
            assert_eq!(reader.read(|_| {}).unwrap(), Progress::More);
        }
        reader.waited = STALL_TIMEOUT;
        let told = format!("{:#}", anyhow::Error::from(reader.read(|_| {}).unwrap_err()));
        assert!(told.contains("of partition 0 after offset 0 for 60 s: Message consumption error"), "{told}");
    }

    #[test]
    fn reading_stops_with_the_future() {
        let (cluster, kafka) = cluster();
        cluster.broker_down(1).unwrap();
        let started = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (settings, ranges) = (KafkaSettings::default(), vec![of(0, 3)]);
            let read = read_ranges(&kafka, &settings, ranges, (), |(), _| {});
            tokio::time::timeout(Duration::from_millis(200), read).await.unwrap_err();
        });
        // Waits for the thread that reads.
        drop(runtime);
        assert!(started.elapsed() < STALL_TIMEOUT / 4, "{:?}", started.elapsed());
    }
}
