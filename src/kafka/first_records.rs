//! The first records of parts of the log, without reading the rest of these.

use std::collections::BTreeMap;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    log_error::LogError,
    log_range::Range,
    log_reader::{LogReader, Progress},
};
use crate::config::{KafkaConfig, KafkaSettings};

/// Which record comes first, and who appended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstRecord {
    /// Its offset.
    pub offset: i64,
    /// The epoch of the leader that appended it; none where the broker does not say.
    pub leader_epoch: Option<i32>,
}

/// The first committed record of each of these ranges that has one, by partition; at most one range of each partition.
///
/// Reading stops where the future is dropped.
pub async fn first_records(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ranges: Vec<Range>,
) -> Result<BTreeMap<i32, FirstRecord>, LogError> {
    let (kafka, settings) = (kafka.clone(), settings.clone());
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let read = move || {
        let mut reader = LogReader::open(&kafka, &settings, &ranges)?;
        let mut found = BTreeMap::new();
        while !stop.is_cancelled() && found.len() < ranges.len() {
            let progress = reader.read(|record| {
                let first = FirstRecord { offset: record.offset, leader_epoch: record.leader_epoch };
                found.entry(record.partition).or_insert(first);
            })?;
            if progress == Progress::End {
                break;
            }
        }
        Ok(found)
    };
    spawn_blocking(read).await.expect("reading does not panic")
}
