//! Which times readings without a timestamp were given before an offset that is not the stored one: found by reading the
//! records before it.

use std::collections::BTreeMap;

use crate::{
    app::servers::Servers,
    batch::Record,
    kafka::{LogError, Range, TopicLog, read_ranges},
    reading::{Timestamp, Window, decode::decode, untimed::GivenTimes},
    store::offset_moves::Move,
};

/// How many offsets are read before a target; where that is too few to tell, more, and how many at most.
const REACHES: [i64; 4] = [64, 512, 4_096, 131_072];
/// A time that was given reaches less than a second ahead: what lies so far back has no effect.
const EFFECT_MICROS: i64 = 2_000_000;
const ANY_TIME: Window =
    Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };

/// The times given before the target of each move, in their order; none at the start of a log.
pub(super) async fn before(
    servers: &Servers,
    moves: &[Move],
    log: &TopicLog,
) -> Result<Vec<GivenTimes>, LogError> {
    let mut found: BTreeMap<i32, Found> = BTreeMap::new();
    let mut read_before = 0;
    for reach in REACHES {
        let range = |Move { from, to_offset }: &Move| {
            let low = log.partitions.get(&from.partition).map_or(*to_offset, |log| log.low);
            Range { partition: from.partition, start: low.max(to_offset - reach), end: *to_offset }
        };
        // Where the log's start was reached, there is no more to find.
        let undecided = |range: &Range| match found.get(&range.partition) {
            None => true,
            Some(found) => !found.is_settled() && range.end - range.start > read_before,
        };
        let mut ranges: Vec<Range> = moves.iter().map(range).filter(undecided).collect();
        ranges.retain(|range| range.start < range.end);
        if ranges.is_empty() {
            break;
        }
        let read = read_ranges(&servers.kafka, &servers.settings, ranges, BTreeMap::new(), note).await?;
        found.extend(read);
        read_before = reach;
    }
    Ok(moves
        .iter()
        .map(|moved| found.remove(&moved.from.partition).map(|found| found.given).unwrap_or_default())
        .collect())
}

/// What reading a part of a log came to.
#[derive(Debug, Default)]
struct Found {
    given: GivenTimes,
    /// The first and the latest timestamp.
    times: Option<(Timestamp, Timestamp)>,
}

impl Found {
    /// Whether what was given before the first record has no effect any more.
    fn is_settled(&self) -> bool {
        self.times.is_some_and(|(first, latest)| latest > first.plus_micros(EFFECT_MICROS))
    }
}

fn note(found: &mut BTreeMap<i32, Found>, record: &Record<'_>) {
    let Found { given, times } = found.entry(record.partition).or_default();
    if let Some(time) = record.timestamp {
        let (first, latest) = times.unwrap_or((time, time));
        *times = Some((first, latest.max(time)));
    }
    // A record that breaks off has given times as far as it can be read, for a worker too.
    decode(
        record.payload.unwrap_or_default(),
        &mut given.of_record(record.timestamp),
        &ANY_TIME,
        &mut |_| {},
    );
}
