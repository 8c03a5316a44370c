//! The `after-restore` command: ids of sensors that a restored backup does not have are not given out again.
//!
//! The offsets went back with the data, so the log above them has what came after the backup, and with it the ids of
//! the sensors that were made since. The sequence went back as well: without this, the next new sensor would get the
//! id, and with it the readings, of one of those.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;

use super::{
    offsets::{
        Desk,
        plan::{Verdict, verdict},
    },
    servers::Servers,
};
use crate::{
    batch::Record,
    config::AfterRestoreConfig,
    kafka::{Range, TopicLog, read_ranges},
    reading::{
        Timestamp, Window,
        decode::{Decoded, decode},
    },
    store::{offset_moves::KeptOffset, sensors::SensorSequence},
};

/// A larger jump is rather a stray id than so many sensors made since the backup.
const JUMP_AT_MOST: i64 = 1_000_000;
/// Most ids that are named one by one.
const NAMED_AT_MOST: usize = 20;

/// Reads the log above the stored offsets and moves the sequence past the largest id there.
pub(super) async fn run(servers: &Servers, config: &AfterRestoreConfig) -> anyhow::Result<()> {
    let mut desk = Desk::open(servers).await?;
    let mut sequence = SensorSequence::open(&servers.database).await?;
    let (kept, log) = desk.read().await?;
    let ranges = unread(&kept, &log);
    let records: i64 = ranges.iter().map(|range| range.end - range.start).sum();
    println!("reading the log above the stored offsets: {records} offsets in {} partitions", ranges.len());

    let last_id = sequence.last_id().await?;
    let found = ids_above(last_id, servers, ranges).await?;
    let is_plausible = |id: &&i32| config.at_most.is_none_or(|most| **id <= most);
    let (ids, stray): (Vec<i32>, Vec<i32>) = found.iter().partition(is_plausible);
    if !stray.is_empty() {
        println!("left aside, as --at-most says: {}", named(&stray));
    }
    let Some(&largest) = ids.last() else {
        println!("no sensor in the log has an id above {last_id}, the last one given out: nothing to do");
        return Ok(());
    };
    let missing = sequence.without_sensor(&ids).await?;
    println!("ids in the log above {last_id}, the last one given out: {}", named(&ids));
    println!("of these without a sensor, so that their readings become dead letters: {}", named(&missing));
    if i64::from(largest) - last_id > JUMP_AT_MOST {
        bail!(
            "{largest} is far above {last_id}, and ids below it could not be given out any more: if it is a stray one, \
             say --at-most with the largest id that a sensor had, else with {largest}"
        );
    }
    if config.dry_run {
        println!("the next sensor would get an id above {largest}; nothing was changed: --dry-run");
        return Ok(());
    }
    sequence.raise_to(largest.into()).await?;
    println!("the next sensor gets an id above {largest}");
    Ok(())
}

/// What of the log is not stored: above the stored offset, or all where that is not this log's.
fn unread(kept: &[KeptOffset], log: &TopicLog) -> Vec<Range> {
    let of_this_log = |kept: &&KeptOffset| verdict(kept, log) == Verdict::Ok;
    let stored: BTreeMap<i32, i64> =
        kept.iter().filter(of_this_log).map(|kept| (kept.partition, kept.next_offset)).collect();
    log.partitions
        .iter()
        .map(|(&partition, log)| Range {
            partition,
            start: stored.get(&partition).copied().unwrap_or(log.low),
            end: log.high,
        })
        .filter(|range| range.start < range.end)
        .collect()
}

async fn ids_above(last_id: i64, servers: &Servers, ranges: Vec<Range>) -> anyhow::Result<BTreeSet<i32>> {
    let any_time =
        Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };
    let note_ids = move |ids: &mut BTreeSet<i32>, record: &Record<'_>| {
        let payload = record.payload.unwrap_or_default();
        let untimed = &mut |_, _| Ok(Timestamp::from_micros(0));
        decode(payload, untimed, &any_time, &mut |decoded| match decoded {
            Decoded::Reading(_, Ok(reading)) if i64::from(reading.sensor_id) > last_id => {
                ids.insert(reading.sensor_id);
            }
            // An id that is taken back does no harm here.
            Decoded::Reading(..) | Decoded::TakeBack(_) => {}
        });
    };
    Ok(read_ranges(&servers.kafka, &servers.settings, ranges, BTreeSet::new(), note_ids).await?)
}

fn named(ids: &[i32]) -> String {
    let some: Vec<String> = ids.iter().take(NAMED_AT_MOST).map(i32::to_string).collect();
    match ids.len() {
        0 => "none".to_owned(),
        count if count > NAMED_AT_MOST => {
            format!("{}, … ({count} in all, the largest {})", some.join(", "), ids[count - 1])
        }
        _ => some.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ids_are_counted() {
        assert_eq!(named(&[]), "none");
        assert_eq!(named(&[4, 9]), "4, 9");
        let many: Vec<i32> = (1..=30).collect();
        assert!(named(&many).ends_with("20, … (30 in all, the largest 30)"), "{}", named(&many));
    }
}
