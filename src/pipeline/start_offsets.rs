//! Where partitions start: the stored offset, held against what the log has.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    config::{DatabaseConfig, Start},
    log::{DatabaseId, Gap, Log, StoredOffset, Watermarks},
    metrics::{GAPS, LOG_CHECKS},
    protocol::PartitionStart,
    reading::untimed::GivenTimes,
    store::{Offsets, StoreError},
};

/// How long one question to Kafka may take.
pub(super) const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// A partition and what the broker says of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionLog {
    pub(super) partition: i32,
    pub(super) watermarks: Watermarks,
}

/// What is asked of the database for an assignment.
#[derive(Clone, Debug)]
pub(super) struct StartOffsetsWanted {
    pub(super) log: Log,
    pub(super) start: Start,
    /// The partitions assigned.
    pub(super) assigned: Vec<i32>,
    /// These partitions, or all of the topic's where `start` is the end of a log.
    pub(super) logs: Vec<PartitionLog>,
}

/// What the database says of an assignment.
#[derive(Debug)]
pub(super) struct StoredStarts {
    /// Which database it is.
    pub(super) database: DatabaseId,
    /// Where the partitions start.
    pub(super) starts: Vec<PartitionStart<GivenTimes>>,
}

/// Reads the stored offsets, after adding those that are missing; tries for so long and then gives up.
pub(super) async fn resolve(
    database: &DatabaseConfig,
    wanted: &StartOffsetsWanted,
    timeout: Duration,
) -> Result<StoredStarts, StoreError> {
    let deadline = Instant::now() + timeout;
    loop {
        match resolve_once(database, wanted, deadline).await {
            Err(error) if error.is_retriable() && Instant::now() + RETRY_PAUSE < deadline => {
                tracing::debug!(error = %error, "stored offsets not read; retrying");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

const RETRY_PAUSE: Duration = Duration::from_millis(200);

async fn resolve_once(
    database: &DatabaseConfig,
    wanted: &StartOffsetsWanted,
    deadline: Instant,
) -> Result<StoredStarts, StoreError> {
    let resolving = async {
        let mut offsets = Offsets::connect(database, &wanted.log).await?;
        let database = offsets.database_id().await?;
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
        if offsets.add_missing(&firsts).await? > 0 {
            let others = offsets.other_clusters().await?;
            if !others.is_empty() {
                report_other_clusters(&wanted.log, &others);
            }
        }
        Ok((database, offsets.read_with_gaps(&wanted.assigned).await?))
    };
    let (database, stored) = tokio::time::timeout_at(deadline, resolving)
        .await
        .map_err(StoreError::timed_out("reading offsets"))??;
    let starts = stored.into_iter().map(|(stored, found)| judge(stored, found, wanted)).collect();
    Ok(StoredStarts { database, starts })
}

fn firsts(logs: &[PartitionLog], offset: impl Fn(Watermarks) -> i64) -> Vec<(i32, i64)> {
    logs.iter().map(|log| (log.partition, offset(log.watermarks))).collect()
}

fn judge(
    stored: StoredOffset,
    found: Option<Gap>,
    wanted: &StartOffsetsWanted,
) -> PartitionStart<GivenTimes> {
    let log = wanted.logs.iter().find(|log| log.partition == stored.partition);
    let start = PartitionStart::new(stored, &wanted.log.topic_id, log.map(|log| log.watermarks), found);
    if start.is_unverifiable {
        note_unverifiable(&wanted.log, start.stored.partition);
    }
    start
}

/// Says that nobody can tell any more whether a partition's log is the one that was stored.
pub(super) fn note_unverifiable(log: &Log, partition: i32) {
    count_log_check("unverifiable");
    tracing::info!(
        kafka.topic = log.topic,
        kafka.partition = partition,
        "the record before the stored offset has expired or cannot be read: whether the log was cut cannot be told"
    );
}

/// Says loudly that a partition is stalled, why, and how to go on.
pub(super) fn report_gap(log: &Log, partition: i32, gap: Gap) {
    metrics::counter!(GAPS, "gap" => gap.as_str()).increment(1);
    tracing::error!(
        kafka.topic = log.topic,
        kafka.topic_id = log.topic_id,
        kafka.partition = partition,
        gap = gap.as_str(),
        "partition stalled until an operator runs `{}`: {}",
        gap.command(),
        gap.meaning()
    );
}

/// Says that a topic of this name is known of another cluster. It is another log, and nothing is stalled: where the
/// brokers are the wrong ones, readings of somebody else's topic are being stored.
fn report_other_clusters(log: &Log, others: &[String]) {
    metrics::counter!(GAPS, "gap" => "other_cluster").increment(1);
    tracing::error!(
        kafka.topic = log.topic,
        kafka.cluster_id = log.cluster_id,
        gap = "other_cluster",
        ?others,
        "the database has this topic of another cluster already; this one is read from its beginning, beside it: \
         make sure that KAFKA_BROKERS is meant"
    );
}

/// A partition's log was held against the record that was taken of it last.
pub(super) fn count_log_check(outcome: &'static str) {
    metrics::counter!(LOG_CHECKS, "outcome" => outcome).increment(1);
}
