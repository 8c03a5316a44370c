//! One partition's log, read from an offset on without a consumer group's doing: nothing is joined, nothing committed.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{client::create_client, consumer::SETTINGS, group::Notes, partition_queue::PartitionQueue};
use crate::{
    batch::{Record, offset_after},
    config::{KafkaConfig, KafkaSettings},
    reading::Timestamp,
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
    /// The brokers sent nothing for too long.
    #[error("Kafka has sent nothing of partition {partition} after offset {offset} for {} s", STALL_TIMEOUT.as_secs())]
    Stalled {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
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

/// Reads one partition; used by the thread that made it.
pub struct LogReader {
    // Declared before the client, so that it is dropped before it.
    queue: PartitionQueue,
    client: BaseConsumer<Notes>,
    partition: i32,
    /// The first offset that has not been read.
    next: i64,
    until: i64,
    heard_at: Instant,
}

impl LogReader {
    /// Begins to read committed records of these offsets.
    pub fn open(
        kafka: &KafkaConfig,
        settings: &KafkaSettings,
        partition: i32,
        from: i64,
        until: i64,
    ) -> Result<Self, LogError> {
        let mut ours = SETTINGS.to_vec();
        // A client without a group's name assigns nothing; one that never subscribes does not join it.
        ours.extend([
            ("group.id", kafka.kafka_group.as_str()),
            ("enable.partition.eof", "true"),
            // That a log ends in control records shows when a fetch comes back empty.
            ("fetch.wait.max.ms", "20"),
        ]);
        let client: BaseConsumer<Notes> =
            create_client(kafka, settings, &ours, Notes::default()).map_err(LogError::SetUp)?;
        let topic = &kafka.kafka_topic;
        let queue =
            PartitionQueue::split(client.client(), topic, partition, thread::current()).ok_or_else(|| {
                LogError::SetUp(KafkaError::Subscription(format!("no queue for partition {partition}")))
            })?;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(LogError::SetUp)?;
        client.assign(&list).map_err(LogError::SetUp)?;
        Ok(Self { queue, client, partition, next: from, until, heard_at: Instant::now() })
    }

    /// Hands on the records that are there, or waits a moment for some.
    pub fn read(&mut self, mut each: impl FnMut(&Record<'_>)) -> Result<Progress, LogError> {
        if let Some(Err(error)) = self.client.poll(Duration::ZERO) {
            Notes::complain(&error);
        }
        let drained = self.queue.drain(DRAIN_MAX);
        for record in drained.records(Timestamp::now()) {
            match record {
                Ok(record) if record.offset >= self.until => return Ok(Progress::End),
                Ok(record) => {
                    self.next = offset_after(record.offset);
                    each(&record);
                    if self.next >= self.until {
                        return Ok(Progress::End);
                    }
                }
                Err(error) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::PartitionEOF) => return Ok(Progress::End),
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        return Err(LogError::StartPassed { partition: self.partition, offset: self.next });
                    }
                    _ => Notes::complain(&error),
                },
            }
        }
        if drained.len() > 0 {
            self.heard_at = Instant::now();
        } else if self.heard_at.elapsed() >= STALL_TIMEOUT {
            return Err(LogError::Stalled { partition: self.partition, offset: self.next });
        } else {
            thread::park_timeout(PAUSE);
        }
        Ok(Progress::More)
    }
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
