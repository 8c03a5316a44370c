//! What `offsets list` and `offsets moves` show.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::plan::{Verdict, verdict};
use crate::{
    kafka::TopicLog,
    log::{DatabaseId, GroupUse, Unreadable, Watermarks},
    store::{
        ReportedStall,
        offset_moves::{KeptOffset, RecordedMove},
    },
};

/// A partition's stored offset beside its log; what is not known is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct OffsetRow {
    cluster_id: String,
    topic_id: String,
    partition: i32,
    first_offset: Option<i64>,
    next_offset: Option<i64>,
    log_start: Option<i64>,
    log_end: Option<i64>,
    /// Records between the stored offset and the log's end, where one leads to the other.
    lag: Option<i64>,
    stored: i64,
    duplicates: i64,
    dead_lettered: i64,
    updated_at: Option<DateTime<Utc>>,
    /// `ok`, or why no record of the partition is taken.
    verdict: String,
    /// What a worker says of a stalled partition.
    detail: Option<String>,
    /// This database.
    database_id: String,
    /// The database whose worker committed the partition's offset to the consumer group last.
    committed_by: Option<String>,
}

/// All partitions that the topic or the database has, with what workers say of those that are stalled, and with the
/// databases that use the consumer group.
pub(super) fn rows(
    kept: &[KeptOffset],
    log: &TopicLog,
    stalled: &[ReportedStall],
    used: &GroupUse,
    database: DatabaseId,
) -> Vec<OffsetRow> {
    let here = |kept: &&KeptOffset| kept.cluster_id == log.identity.cluster_id;
    let has_row = |partition: i32| kept.iter().filter(here).any(|kept| kept.partition == partition);
    let not_started = log.partitions.iter().filter(|(partition, _)| !has_row(**partition));
    let mut rows: Vec<OffsetRow> = kept
        .iter()
        .map(|kept| stored_row(kept, log))
        .chain(not_started.map(|(&partition, &watermarks)| row_without_offset(partition, watermarks, log)))
        .collect();
    for row in rows.iter_mut().filter(|row| row.verdict == Verdict::Ok.as_str()) {
        // Of a gap the log and the offset themselves have told.
        let is_unreadable =
            |stall: &&ReportedStall| Unreadable::ALL.iter().any(|why| why.as_str() == stall.reason);
        let mut stalled = stalled.iter().filter(is_unreadable);
        if let Some(stall) = stalled.find(|stall| stall.partition == row.partition) {
            row.verdict.clone_from(&stall.reason);
            row.detail = Some(stall.detail.clone());
        }
    }
    for row in &mut rows {
        row.database_id = database.to_string();
        let is_here = row.cluster_id == log.identity.cluster_id;
        let committer = used.committer(row.partition).filter(|_| is_here);
        row.committed_by = committer.map(|id| id.to_string());
    }
    rows.sort_by(|one, other| (&one.cluster_id, one.partition).cmp(&(&other.cluster_id, other.partition)));
    rows
}

fn stored_row(kept: &KeptOffset, log: &TopicLog) -> OffsetRow {
    let verdict = verdict(kept, log);
    let known = match verdict {
        Verdict::OtherCluster | Verdict::NoSuchPartition => None,
        Verdict::Ok | Verdict::Gap(_) | Verdict::NotStarted => log.partitions.get(&kept.partition),
    };
    OffsetRow {
        cluster_id: kept.cluster_id.clone(),
        topic_id: kept.topic_id.clone(),
        partition: kept.partition,
        first_offset: Some(kept.first_offset),
        next_offset: Some(kept.next_offset),
        log_start: known.map(|log| log.low),
        log_end: known.map(|log| log.high),
        lag: known.filter(|_| verdict == Verdict::Ok).map(|log| log.high - kept.next_offset),
        stored: kept.tally.stored,
        duplicates: kept.tally.duplicates,
        dead_lettered: kept.tally.dead_lettered,
        updated_at: Some(kept.updated_at),
        verdict: verdict.as_str().to_owned(),
        detail: None,
        ..OffsetRow::default()
    }
}

fn row_without_offset(partition: i32, watermarks: Watermarks, log: &TopicLog) -> OffsetRow {
    OffsetRow {
        cluster_id: log.identity.cluster_id.clone(),
        topic_id: log.identity.topic_id.clone(),
        partition,
        log_start: Some(watermarks.low),
        log_end: Some(watermarks.high),
        lag: Some(watermarks.high - watermarks.low),
        verdict: Verdict::NotStarted.as_str().to_owned(),
        ..OffsetRow::default()
    }
}

/// For people.
pub(super) fn print_offsets(rows: &[OffsetRow]) {
    println!(
        "{:<22} {:<22} {:>9} {:>12} {:>12} {:>12} {:>12} {:>10} {:>12} {:>10} {:>8} verdict",
        "cluster",
        "topic id",
        "partition",
        "first",
        "next",
        "log start",
        "log end",
        "lag",
        "stored",
        "duplicates",
        "dead"
    );
    for row in rows {
        println!(
            "{:<22} {:<22} {:>9} {:>12} {:>12} {:>12} {:>12} {:>10} {:>12} {:>10} {:>8} {}",
            row.cluster_id,
            row.topic_id,
            row.partition,
            number(row.first_offset),
            number(row.next_offset),
            number(row.log_start),
            number(row.log_end),
            number(row.lag),
            row.stored,
            row.duplicates,
            row.dead_lettered,
            row.verdict
        );
    }
    for row in rows {
        if let Some(detail) = &row.detail {
            println!("partition {} {}: {detail}", row.partition, row.verdict);
        }
    }
}

/// For people.
pub(super) fn print_moves(moves: &[RecordedMove]) {
    println!(
        "{:<20} {:>9} {:<9} {:>12} {:>12} {:<16} note",
        "moved", "partition", "kind", "from", "to", "by"
    );
    for moved in moves {
        println!(
            "{:<20} {:>9} {:<9} {:>12} {:>12} {:<16} {}",
            moved.moved_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            moved.partition,
            moved.kind,
            moved.from_offset,
            moved.to_offset,
            moved.moved_by,
            moved.note
        );
    }
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        batch::Tally,
        log::{Committer, TopicIdentity},
    };

    #[test]
    fn every_partition_of_the_topic_and_of_the_database_is_shown() {
        let identity = TopicIdentity { cluster_id: "b".to_owned(), topic_id: "t".to_owned() };
        let partitions = (0..4).map(|partition| (partition, Watermarks { low: 10, high: 20 })).collect();
        let log = TopicLog { identity, partitions };
        let kept = |cluster_id: &str, partition, next_offset| KeptOffset {
            cluster_id: cluster_id.to_owned(),
            topic_id: "t".to_owned(),
            partition,
            first_offset: 0,
            next_offset,
            gap: None,
            gap_offset: None,
            last_record: None,
            tally: Tally::default(),
            updated_at: DateTime::UNIX_EPOCH,
        };
        let stalled = |partition, reason: &str| ReportedStall {
            partition,
            reason: reason.to_owned(),
            detail: "grant READ".to_owned(),
            since: 0,
        };
        let kept = [kept("a", 1, 3), kept("b", 0, 14), kept("b", 2, 9), kept("b", 3, 14), kept("b", 4, 9)];
        let database = DatabaseId::parse("4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90").unwrap();
        let mut used = GroupUse::default();
        used.see(Duration::ZERO, [(1, Committer { database, beat: 1 })].into());
        let rows = rows(
            &kept,
            &log,
            &[stalled(0, "records_expired"), stalled(2, "not_authorized"), stalled(3, "not_authorized")],
            &used,
            database,
        );
        let committed = rows.iter().filter(|row| row.committed_by == Some(database.to_string()));
        assert_eq!(
            committed.map(|row| (row.cluster_id.as_str(), row.partition)).collect::<Vec<_>>(),
            [("b", 1)]
        );
        let shown: Vec<_> = rows.iter().map(|row| (row.partition, row.verdict.as_str(), row.lag)).collect();
        assert_eq!(
            shown,
            [
                (1, "other_cluster", None),
                (0, "ok", Some(6)),
                (1, "not_started", Some(10)),
                (2, "records_expired", None),
                (3, "not_authorized", Some(6)),
                (4, "no_such_partition", None),
            ]
        );
    }
}
