//! Logs that were cut and have grown past a stored offset: found by reading the record before it, as a worker does.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    app::servers::Servers,
    batch::Record,
    kafka::{LogError, Range, TopicLog, read_ranges},
    log::Gap,
    protocol::{Proof, Run},
    store::offset_moves::KeptOffset,
};

/// How long Kafka may take to give the records.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Notes in each row whose log has another record in the place of the last one that is stored; where that cannot be told,
/// the ends of the logs have the last word.
pub(super) async fn note(servers: &Servers, kept: &mut [KeptOffset], log: &TopicLog) {
    let compared = tokio::time::timeout(TIMEOUT, compare(servers, kept, log)).await;
    match compared {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "the records before the stored offsets are not compared");
        }
        Err(_elapsed) => tracing::warn!("the records before the stored offsets did not come in time"),
    }
}

async fn compare(servers: &Servers, kept: &mut [KeptOffset], log: &TopicLog) -> Result<(), LogError> {
    let (mut ranges, mut runs) = (Vec::new(), BTreeMap::new());
    for row in kept.iter() {
        let is_here = row.cluster_id == log.identity.cluster_id && row.topic_id == log.identity.topic_id;
        let (Some(last), Some(ends)) = (row.last_record(), log.partitions.get(&row.partition)) else {
            continue;
        };
        if is_here && ends.low <= last.offset && row.next_offset <= ends.high {
            ranges.push(Range { partition: row.partition, start: last.offset, end: row.next_offset });
            runs.insert(row.partition, Run::after(row.next_offset, last));
        }
    }
    if ranges.is_empty() {
        return Ok(());
    }
    let mut runs = read_ranges(&servers.kafka, &servers.settings, ranges, runs, meet).await?;
    for row in kept.iter_mut() {
        let Some(run) = runs.remove(&row.partition) else { continue };
        if run.has_diverged {
            row.note_gap(Gap::LogDiverged);
        } else if !matches!(run.proof, Proof::Record(_)) && row.found_gap() == Some(Gap::OffsetPastEnd) {
            // It is the log that it was, after all.
            row.gap = None;
        }
    }
    Ok(())
}

fn meet(runs: &mut BTreeMap<i32, Run>, record: &Record<'_>) {
    if let Some(run) = runs.get_mut(&record.partition) {
        run.meet(record.offset, || record.identity());
    }
}
