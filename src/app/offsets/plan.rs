//! Which stored offsets may be moved, and where to. Pure.

use std::collections::BTreeMap;

use crate::{
    kafka::TopicLog,
    log::Gap,
    store::offset_moves::{KeptOffset, Move},
};

/// How a stored offset and the log of its partition go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One goes on from the other.
    Ok,
    /// They contradict each other; workers leave the partition alone.
    Gap(Gap),
    /// The topic has no such partition (any more).
    NoSuchPartition,
    /// No worker has been assigned the partition yet.
    NotStarted,
    /// The offset is of another cluster's topic of the same name.
    OtherCluster,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Gap(gap) => gap.as_str(),
            Self::NoSuchPartition => "no_such_partition",
            Self::NotStarted => "not_started",
            Self::OtherCluster => "other_cluster",
        }
    }
}

/// Why an offset is not moved; nothing was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the topic has no partition {0}")]
    NoSuchPartition(i32),
    #[error(
        "partition {0} has no stored offset yet: a worker that is assigned it starts at the log's beginning"
    )]
    NotStarted(i32),
    #[error("partition {partition} has no such gap ({}): its stored offset is {next_offset}, its log goes from {low} to {high}", .verdict.as_str())]
    NoGap { partition: i32, verdict: Verdict, next_offset: i64, low: i64, high: i64 },
    #[error("the topic is the one that its stored offsets are of")]
    SameTopic,
    #[error("partition {partition} is stalled ({}): `{}` comes first", .gap.as_str(), .gap.command())]
    StandsStill { partition: i32, gap: Gap },
    #[error(
        "partition {partition} is stored up to {next_offset}: a replay goes back, never forward over what is not stored"
    )]
    Forward { partition: i32, next_offset: i64 },
    #[error("the log of partition {partition} begins at {low}: what was before is gone")]
    BeforeStart { partition: i32, low: i64 },
    #[error("an offset is one partition's: say which with --partition")]
    OffsetOfWhich,
}

/// Holds a row against the log.
pub(crate) fn verdict(kept: &KeptOffset, log: &TopicLog) -> Verdict {
    if kept.cluster_id != log.identity.cluster_id {
        return Verdict::OtherCluster;
    }
    let Some(&watermarks) = log.partitions.get(&kept.partition) else { return Verdict::NoSuchPartition };
    Gap::between(&kept.topic_id, kept.next_offset, &log.identity.topic_id, watermarks)
        .or_else(|| kept.found_gap())
        .map_or(Verdict::Ok, Verdict::Gap)
}

/// The moves over one of the gaps that an operator has named: to the start of the log, which is where unread records begin.
///
/// Without partitions: all that have it.
pub(crate) fn accept(
    gaps: &[Gap],
    partitions: Option<&[i32]>,
    kept: &[KeptOffset],
    log: &TopicLog,
) -> Result<Vec<Move>, Refusal> {
    let has_one = |verdict: Verdict| matches!(verdict, Verdict::Gap(found) if gaps.contains(&found));
    let Some(partitions) = partitions else {
        let having = kept.iter().filter(|kept| has_one(verdict(kept, log)));
        let moves: Vec<Move> = having.map(|kept| to_start(kept, log)).collect();
        return if moves.is_empty() { Err(Refusal::SameTopic) } else { Ok(moves) };
    };
    named(partitions, kept, log)?
        .into_iter()
        .map(|kept| match verdict(kept, log) {
            verdict if has_one(verdict) => Ok(to_start(kept, log)),
            verdict => Err(Refusal::NoGap {
                partition: kept.partition,
                verdict,
                next_offset: kept.next_offset,
                low: log.partitions[&kept.partition].low,
                high: log.partitions[&kept.partition].high,
            }),
        })
        .collect()
}

/// Where a replay begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// At the start of each log.
    Earliest,
    /// At this offset, of partitions that are named.
    Offset(i64),
    /// At these offsets.
    Offsets(BTreeMap<i32, i64>),
}

/// The moves back; partitions that have nothing to be read again are left out, unless an offset was named for them.
pub(crate) fn replay(
    from: &Beginning,
    partitions: &[i32],
    kept: &[KeptOffset],
    log: &TopicLog,
) -> Result<Vec<Move>, Refusal> {
    let asked = match (from, partitions) {
        (Beginning::Offset(_), []) => return Err(Refusal::OffsetOfWhich),
        (_, []) => kept.iter().filter(|kept| log.partitions.contains_key(&kept.partition)).collect(),
        (_, partitions) => named(partitions, kept, log)?,
    };
    let mut moves = Vec::new();
    for kept in asked {
        let (partition, next_offset) = (kept.partition, kept.next_offset);
        if let Verdict::Gap(gap) = verdict(kept, log) {
            return Err(Refusal::StandsStill { partition, gap });
        }
        let low = log.partitions[&partition].low;
        let to_offset = match from {
            Beginning::Earliest => low,
            Beginning::Offset(offset) if *offset < low => {
                return Err(Refusal::BeforeStart { partition, low });
            }
            Beginning::Offset(offset) if *offset > next_offset => {
                return Err(Refusal::Forward { partition, next_offset });
            }
            Beginning::Offset(offset) => *offset,
            Beginning::Offsets(offsets) => offsets.get(&partition).copied().unwrap_or(next_offset).max(low),
        };
        if to_offset < next_offset {
            moves.push(Move { from: kept.clone(), to_offset });
        }
    }
    Ok(moves)
}

fn to_start(kept: &KeptOffset, log: &TopicLog) -> Move {
    Move { from: kept.clone(), to_offset: log.partitions[&kept.partition].low }
}

/// The rows of partitions that somebody named, each once.
fn named<'k>(
    partitions: &[i32],
    kept: &'k [KeptOffset],
    log: &TopicLog,
) -> Result<Vec<&'k KeptOffset>, Refusal> {
    let mut partitions = partitions.to_vec();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
        .into_iter()
        .map(|partition| {
            if !log.partitions.contains_key(&partition) {
                return Err(Refusal::NoSuchPartition(partition));
            }
            kept.iter().find(|kept| kept.partition == partition).ok_or(Refusal::NotStarted(partition))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{
        batch::Tally,
        log::{TopicIdentity, Watermarks},
    };

    const LOW: i64 = 10;
    const HIGH: i64 = 20;

    fn log() -> TopicLog {
        let identity = TopicIdentity { cluster_id: "c".to_owned(), topic_id: "t".to_owned() };
        let partitions = (0..3).map(|partition| (partition, Watermarks { low: LOW, high: HIGH })).collect();
        TopicLog { identity, partitions }
    }

    fn kept(partition: i32, next_offset: i64) -> KeptOffset {
        KeptOffset {
            cluster_id: "c".to_owned(),
            topic_id: "t".to_owned(),
            partition,
            first_offset: 0,
            next_offset,
            gap: None,
            gap_offset: None,
            last_record: None,
            tally: Tally::default(),
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    fn targets(moves: Result<Vec<Move>, Refusal>) -> Vec<(i32, i64)> {
        moves.unwrap().into_iter().map(|moved| (moved.from.partition, moved.to_offset)).collect()
    }

    #[test]
    fn a_gap_is_accepted_where_it_is_and_nowhere_else() {
        let rows = [kept(0, 5), kept(1, 15), kept(2, 25)];
        let expired = &[Gap::RecordsExpired];
        assert_eq!(targets(accept(expired, Some(&[0, 0]), &rows, &log())), [(0, LOW)]);
        assert_eq!(targets(accept(&[Gap::OffsetPastEnd], Some(&[2]), &rows, &log())), [(2, LOW)]);
        for wrong in [&[1][..], &[2], &[0, 1]] {
            assert!(matches!(accept(expired, Some(wrong), &rows, &log()), Err(Refusal::NoGap { .. })));
        }
        assert_eq!(accept(expired, Some(&[3]), &rows, &log()), Err(Refusal::NoSuchPartition(3)));
        assert_eq!(accept(expired, Some(&[2]), &rows[..2], &log()), Err(Refusal::NotStarted(2)));
    }

    #[test]
    fn what_a_worker_found_holds_where_the_ends_say_nothing() {
        let found =
            |at| KeptOffset { gap: Some("log_diverged".to_owned()), gap_offset: Some(at), ..kept(0, 15) };
        let truncation = &[Gap::OffsetPastEnd, Gap::LogDiverged];
        assert_eq!(targets(accept(truncation, Some(&[0]), &[found(15)], &log())), [(0, LOW)]);
        assert!(accept(truncation, Some(&[0]), &[found(14)], &log()).is_err(), "it was moved since");
        let replayed = replay(&Beginning::Earliest, &[], &[found(15)], &log());
        assert_eq!(replayed, Err(Refusal::StandsStill { partition: 0, gap: Gap::LogDiverged }));
    }

    #[test]
    fn a_topic_made_anew_is_accepted_whole() {
        let of_old = |partition| KeptOffset { topic_id: "old".to_owned(), ..kept(partition, 15) };
        // The old one had more partitions, and one row is of the new one already.
        let rows = [of_old(0), kept(1, 15), of_old(2), of_old(7)];
        let moves = accept(&[Gap::TopicRecreated], None, &rows, &log());
        assert_eq!(targets(moves), [(0, LOW), (2, LOW)]);
        assert_eq!(accept(&[Gap::TopicRecreated], None, &rows[1..2], &log()), Err(Refusal::SameTopic));
        assert_eq!(verdict(&of_old(7), &log()), Verdict::NoSuchPartition);
        let elsewhere = KeptOffset { cluster_id: "other".to_owned(), ..kept(0, 15) };
        assert_eq!(verdict(&elsewhere, &log()), Verdict::OtherCluster);
    }

    #[test]
    fn a_replay_goes_back_and_stays_within_the_log() {
        let rows = [kept(0, 15), kept(1, LOW), kept(2, HIGH)];
        assert_eq!(targets(replay(&Beginning::Earliest, &[], &rows, &log())), [(0, LOW), (2, LOW)]);
        assert_eq!(targets(replay(&Beginning::Offset(12), &[0], &rows, &log())), [(0, 12)]);
        let offset = |offset, partition| replay(&Beginning::Offset(offset), &[partition], &rows, &log());
        assert_eq!(offset(16, 0), Err(Refusal::Forward { partition: 0, next_offset: 15 }));
        assert_eq!(offset(15, 0), Ok(vec![]));
        assert_eq!(offset(9, 0), Err(Refusal::BeforeStart { partition: 0, low: LOW }));
        assert_eq!(replay(&Beginning::Offset(12), &[], &rows, &log()), Err(Refusal::OffsetOfWhich));
        // Found by time: the second is not stored that far, the third has nothing so late.
        let offsets = Beginning::Offsets([(0, 11), (1, 13), (2, HIGH)].into());
        assert_eq!(targets(replay(&offsets, &[], &rows, &log())), [(0, 11)]);
    }

    #[test]
    fn what_stands_still_is_not_replayed() {
        let rows = [kept(0, 5), kept(1, 15)];
        let refused = replay(&Beginning::Earliest, &[], &rows, &log());
        assert_eq!(refused, Err(Refusal::StandsStill { partition: 0, gap: Gap::RecordsExpired }));
        assert_eq!(targets(replay(&Beginning::Earliest, &[1], &rows, &log())), [(1, LOW)]);
    }
}
