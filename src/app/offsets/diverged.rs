//! Logs that were cut and have grown past a stored offset: found by reading the record before it, as a worker does.

use std::collections::BTreeMap;

use crate::{
    batch::Record,
    config::{KafkaConfig, KafkaSettings},
    kafka::{LogError, Range, TopicLog, read_ranges},
    log::Gap,
    protocol::Run,
    store::offset_moves::KeptOffset,
};

/// Notes in each row whose log has another record in the place of the last one that is stored.
pub(super) async fn note(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    kept: &mut [KeptOffset],
    log: &TopicLog,
) -> Result<(), LogError> {
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
    let mut runs = read_ranges(kafka, settings, ranges, runs, meet).await?;
    for row in kept.iter_mut() {
        // All of what the range has was read.
        let Some(mut run) = runs.remove(&row.partition) else { continue };
        run.meet_end(row.next_offset);
        if run.has_diverged {
            row.note_gap(Gap::LogDiverged);
        }
    }
    Ok(())
}

fn meet(runs: &mut BTreeMap<i32, Run>, record: &Record<'_>) {
    if let Some(run) = runs.get_mut(&record.partition) {
        run.meet(record.offset, || record.identity());
    }
}
