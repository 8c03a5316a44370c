//! Where partitions start: the stored offset, held against what the log has.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    config::{DatabaseConfig, Start},
    kafka::Watermarks,
    metrics::GAPS,
    store::{Offsets, StoreError, StoredOffset},
};

/// Which log a stored offset belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The cluster's id.
    pub cluster_id: String,
    /// The topic's name.
    pub topic: String,
    /// The topic's id; another one under the same name means that the topic was made anew.
    pub topic_id: String,
}

/// A partition and what the broker says of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionLog {
    pub(super) partition: i32,
    pub(super) watermarks: Watermarks,
}

/// What is asked of the database for an assignment.
#[derive(Clone, Debug)]
pub(super) struct StartsWanted {
    pub(super) log: Log,
    pub(super) start: Start,
    /// The partitions assigned.
    pub(super) assigned: Vec<i32>,
    /// These partitions, or all of the topic's where `start` is the end of a log.
    pub(super) logs: Vec<PartitionLog>,
}

/// Why a partition cannot be consumed before an operator says how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// The topic of this name is not the one whose offsets are stored.
    TopicRecreated,
    /// The stored offset lies past the log's end: the log was cut, or the offset is another log's.
    OffsetPastEnd,
    /// The stored offset lies before the log's start: retention removed records that were never read.
    RecordsExpired,
}

impl Gap {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TopicRecreated => "topic_recreated",
            Self::OffsetPastEnd => "offset_past_end",
            Self::RecordsExpired => "records_expired",
        }
    }
}

/// A partition's stored offset, if it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionStart {
    pub(super) partition: i32,
    /// The stored offset as it is.
    pub(super) stored: i64,
    pub(super) start: Result<i64, Gap>,
}

/// Reads the stored offsets, after adding those that are missing; tries for so long and then gives up.
pub(super) async fn resolve(
    database: &DatabaseConfig,
    wanted: &StartsWanted,
    timeout: Duration,
) -> Result<Vec<PartitionStart>, StoreError> {
    let deadline = Instant::now() + timeout;
    loop {
        match resolve_once(database, wanted, deadline).await {
            Err(error) if error.is_retriable() && Instant::now() + RETRY_PAUSE < deadline => {
                tracing::debug!(error = %error, "stored offsets not read; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

const RETRY_PAUSE: Duration = Duration::from_millis(200);

async fn resolve_once(
    database: &DatabaseConfig,
    wanted: &StartsWanted,
    deadline: Instant,
) -> Result<Vec<PartitionStart>, StoreError> {
    let resolving = async {
        let mut offsets = Offsets::connect(database, &wanted.log).await?;
        let firsts = match wanted.start {
            Start::Latest if offsets.is_new_topic().await? => {
                firsts(&wanted.logs, |watermarks| watermarks.high)
            }
            Start::Latest | Start::Earliest => {
                let mut firsts = firsts(&wanted.logs, |watermarks| watermarks.low);
                firsts.retain(|(partition, _)| wanted.assigned.contains(partition));
                firsts
            }
        };
        offsets.add_missing(&firsts).await?;
        offsets.read(&wanted.assigned).await
    };
    let stored = tokio::time::timeout_at(deadline, resolving)
        .await
        .map_err(StoreError::timed_out("reading offsets"))??;
    Ok(stored.iter().map(|stored| judge(stored, wanted)).collect())
}

fn firsts(logs: &[PartitionLog], offset: impl Fn(Watermarks) -> i64) -> Vec<(i32, i64)> {
    logs.iter().map(|log| (log.partition, offset(log.watermarks))).collect()
}

fn judge(stored: &StoredOffset, wanted: &StartsWanted) -> PartitionStart {
    let log = wanted.logs.iter().find(|log| log.partition == stored.partition);
    let start = match log {
        _ if stored.topic_id != wanted.log.topic_id => Err(Gap::TopicRecreated),
        Some(log) if stored.next_offset > log.watermarks.high => Err(Gap::OffsetPastEnd),
        Some(log) if stored.next_offset < log.watermarks.low => Err(Gap::RecordsExpired),
        _ => Ok(stored.next_offset),
    };
    PartitionStart { partition: stored.partition, stored: stored.next_offset, start }
}

/// Says loudly that a partition stands still, and why.
pub(super) fn report_gap(log: &Log, partition: i32, gap: Gap) {
    metrics::counter!(GAPS, "gap" => gap.as_str()).increment(1);
    let meaning = match gap {
        Gap::TopicRecreated => "the topic was deleted and made anew: the stored offset is of the old one",
        Gap::OffsetPastEnd => {
            "the stored offset lies past the end of the log: the log was cut, or is not the one it was"
        }
        Gap::RecordsExpired => {
            "the log no longer has the records after the stored offset: retention took them unread"
        }
    };
    tracing::error!(
        kafka.topic = log.topic,
        kafka.topic_id = log.topic_id,
        kafka.partition = partition,
        gap = gap.as_str(),
        "partition stands still until an operator moves its row in ingest_offsets: {meaning}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(topic_id: &str, next_offset: i64) -> Result<i64, Gap> {
        let log = Log { cluster_id: "c".to_owned(), topic: "t".to_owned(), topic_id: "one".to_owned() };
        let logs = vec![PartitionLog { partition: 3, watermarks: Watermarks { low: 10, high: 20 } }];
        let wanted = StartsWanted { log, start: Start::Earliest, assigned: vec![3], logs };
        judge(&StoredOffset { partition: 3, next_offset, topic_id: topic_id.to_owned() }, &wanted).start
    }

    #[test]
    fn a_stored_offset_must_be_one_that_the_log_can_continue_from() {
        assert_eq!(judged("one", 10), Ok(10));
        assert_eq!(judged("one", 20), Ok(20));
        assert_eq!(judged("one", 21), Err(Gap::OffsetPastEnd));
        assert_eq!(judged("one", 9), Err(Gap::RecordsExpired));
        assert_eq!(judged("two", 15), Err(Gap::TopicRecreated));
    }
}
