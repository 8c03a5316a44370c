//! What is known now, from whoever answered last.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    body::{
        DeadLettersBody, DependencyBody, EXPLANATION, LagBody, OtherDatabaseBody, OverviewBody, RatesBody,
        TallyBody, WorkerBody, millis,
    },
    lag::LagHistory,
    rates::Growth,
};
use crate::{
    durability::FoundSettings,
    health::Component,
    kafka::{GroupMember, GroupMembers},
    log::{Committer, DatabaseId, GroupUse},
    reading::Timestamp,
    store::{
        ReportedStall,
        dead_letters::{OverflowRange, ReasonSummary},
        overview::{LastAudit, PartitionBooks},
    },
};

/// What somebody said, and when.
type Observed<T> = Option<(Timestamp, T)>;

/// Everything that was said last; it stays when its source goes away.
#[derive(Debug, Default)]
pub(super) struct LastKnown {
    books: Observed<Vec<PartitionBooks>>,
    audit: Observed<LastAudit>,
    ends: Observed<BTreeMap<i32, i64>>,
    /// None where Kafka has not told, or does not of a group of this protocol.
    members: Option<Vec<GroupMember>>,
    /// Since the first look at what is committed.
    looking_since: Option<Instant>,
    used: GroupUse,
    database: Option<DatabaseId>,
    dead_letters: Observed<BTreeMap<String, i64>>,
    not_kept: Option<i64>,
    accepted: Growth,
    appended: Growth,
    stored: Growth,
    lag: LagHistory,
    stalled: BTreeMap<i32, ReportedStall>,
}

/// What never changes, and who says whether the others are there.
pub(super) struct Names<'n> {
    pub(super) topic: &'n str,
    pub(super) group: &'n str,
    pub(super) kafka: &'n Component,
    pub(super) postgres: &'n Component,
    pub(super) found_settings: &'n FoundSettings,
}

impl LastKnown {
    pub(super) fn accepted(&mut self, readings: u64) {
        self.accepted.see(Instant::now(), readings.cast_signed());
    }

    pub(super) fn ends(&mut self, now: Timestamp, ends: BTreeMap<i32, i64>) {
        self.lag.see(now, &ends);
        self.appended.see(Instant::now(), ends.values().sum());
        self.ends = Some((now, ends));
    }

    pub(super) fn books(&mut self, now: Timestamp, books: Vec<PartitionBooks>) {
        for of in &books {
            self.lag.stored(of.partition, of.next_offset);
        }
        self.stored.see(Instant::now(), books.iter().map(|of| of.stored).sum());
        self.books = Some((now, books));
    }

    pub(super) fn audit(&mut self, now: Timestamp, audit: Option<LastAudit>) {
        self.audit = audit.map(|audit| (now, audit));
    }

    pub(super) fn members(&mut self, members: GroupMembers) {
        self.members = match members {
            GroupMembers::Known(members) => Some(members),
            GroupMembers::NotTold => None,
        };
    }

    pub(super) fn committers(&mut self, committers: BTreeMap<i32, Committer>) {
        self.looking_since.get_or_insert_with(Instant::now);
        self.used.see(self.looked_for(), committers);
    }

    fn looked_for(&self) -> Duration {
        self.looking_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn database(&mut self, database: DatabaseId) {
        self.database = Some(database);
    }

    pub(super) fn dead_letters(&mut self, now: Timestamp, counted: Vec<ReasonSummary>) {
        let counted = counted.into_iter().filter(|reason| reason.letters > 0);
        self.dead_letters = Some((now, counted.map(|reason| (reason.reason, reason.letters)).collect()));
    }

    pub(super) fn not_kept(&mut self, ranges: &[OverflowRange]) {
        self.not_kept = Some(ranges.iter().map(|range| range.letters).sum());
    }

    pub(super) fn timestamps(&mut self, read: Vec<(i32, i64, Timestamp)>) {
        for (partition, offset, timestamp) in read {
            self.lag.read(partition, offset, timestamp);
        }
    }

    /// Partitions of which workers take no record.
    pub(super) fn stalled(&mut self, stalled: Vec<ReportedStall>) {
        self.stalled = stalled.into_iter().map(|stall| (stall.partition, stall)).collect();
    }

    /// The first records that are not stored, of which nobody knows how old they are.
    pub(super) fn of_unknown_age(&self) -> Vec<(i32, i64)> {
        let books = self.books.iter().flat_map(|(_, books)| books);
        books
            .filter(|of| self.records(of).is_some_and(|records| records > 0))
            .map(|of| (of.partition, of.next_offset))
            .filter(|&(partition, offset)| self.lag.since(partition, offset).is_none())
            .collect()
    }

    fn end(&self, partition: i32) -> Option<i64> {
        self.ends.as_ref()?.1.get(&partition).copied()
    }

    fn records(&self, books: &PartitionBooks) -> Option<i64> {
        // The two are asked at the same time, and either may be the older one.
        Some((self.end(books.partition)? - books.next_offset).max(0))
    }

    pub(super) fn body(&self, now: Timestamp, names: &Names<'_>) -> OverviewBody {
        let instant = Instant::now();
        let books: &[PartitionBooks] = self.books.as_ref().map_or(&[], |(_, books)| books);
        let tally = self.tally(now, books);
        OverviewBody {
            at: millis(now),
            rates: RatesBody {
                http: self.accepted.per_second(instant),
                kafka: self.appended.per_second(instant),
                stored: self.stored.per_second(instant),
            },
            lag: self.lag_of_all(now, books),
            freshness_seconds: self.freshness_seconds(now, books),
            dead_letters: self.dead_letters_body(),
            duplicates: tally.duplicates,
            workers: self.members.as_ref().map(|members| members.iter().map(worker).collect()),
            kafka: DependencyBody::of(names.kafka, self.ends.as_ref().map(|(at, _)| *at)),
            postgres: DependencyBody::of(names.postgres, self.books.as_ref().map(|(at, _)| *at)),
            database_id: self.database.map(|id| id.to_string()),
            other_databases: self.other_databases(),
            unsafe_settings: names.found_settings.current(),
            tally,
            topic: names.topic.to_owned(),
            group: names.group.to_owned(),
            version: crate::version::VERSION,
        }
    }

    fn other_databases(&self) -> Vec<OtherDatabaseBody> {
        let other = |id: DatabaseId| OtherDatabaseBody {
            database_id: id.to_string(),
            is_active: self.used.is_active(id, self.looked_for()),
            partitions: self.used.committed_by(id),
        };
        let others =
            self.used.databases().into_iter().filter(|id| self.database.is_some_and(|ours| ours != *id));
        others.map(other).collect()
    }

    fn lag_of_all(&self, now: Timestamp, books: &[PartitionBooks]) -> Vec<LagBody> {
        let owners: BTreeMap<i32, &str> = self
            .members
            .iter()
            .flatten()
            .flat_map(|member| {
                member.partitions.iter().map(|&partition| (partition, member.member_id.as_str()))
            })
            .collect();
        let of_log = self.ends.iter().flat_map(|(_, ends)| ends.keys());
        let partitions: BTreeSet<i32> = books.iter().map(|of| of.partition).chain(of_log.copied()).collect();
        let lag = |partition| {
            let books = books.iter().find(|of| of.partition == partition);
            let records = books.and_then(|of| self.records(of));
            let since = books.and_then(|of| self.lag.since(partition, of.next_offset));
            let seconds = match records {
                Some(0) => Some(0.0),
                Some(_) => since.map(|since| seconds_between(since, now)),
                None => None,
            };
            let owner = owners.get(&partition).map(|owner| (*owner).to_owned());
            let stalled = self.stalled.get(&partition).cloned();
            LagBody {
                partition,
                records,
                seconds,
                stored_at: books.map(|of| of.stored_at_ms),
                owner,
                stalled,
            }
        };
        partitions.into_iter().map(lag).collect()
    }

    fn freshness_seconds(&self, now: Timestamp, books: &[PartitionBooks]) -> Option<f64> {
        let &(asked, _) = self.books.as_ref()?;
        let ages = books.iter().filter(|of| of.stored > 0).map(|of| of.age_seconds.max(0.0));
        Some(ages.min_by(f64::total_cmp)? + seconds_between(asked, now))
    }

    fn dead_letters_body(&self) -> DeadLettersBody {
        let counted = self.dead_letters.as_ref();
        DeadLettersBody {
            waiting: counted.map(|(_, by_reason)| by_reason.values().sum()),
            by_reason: counted.map(|(_, by_reason)| by_reason.clone()).unwrap_or_default(),
            not_kept: self.not_kept,
            counted_at: counted.map(|(at, _)| millis(*at)),
        }
    }

    fn tally(&self, now: Timestamp, books: &[PartitionBooks]) -> TallyBody {
        let is_known = self.books.is_some();
        let sum = |of: fn(&PartitionBooks) -> i64| is_known.then(|| books.iter().map(of).sum());
        let in_log =
            |of: &PartitionBooks| Some(self.end(of.partition)?.max(of.next_offset) - of.first_offset);
        TallyBody {
            in_log: is_known.then(|| books.iter().map(in_log).sum()).flatten(),
            stored: sum(|of| of.stored),
            duplicates: sum(|of| of.duplicates),
            dead_lettered: sum(|of| of.dead_lettered),
            in_flight_records: is_known.then(|| books.iter().map(|of| self.records(of)).sum()).flatten(),
            difference: self.audit.as_ref().and_then(|(_, audit)| audit.difference),
            audit: self.audit.as_ref().map(|(asked, audit)| LastAudit {
                age_seconds: audit.age_seconds.max(0.0) + seconds_between(*asked, now),
                ..audit.clone()
            }),
            explanation: EXPLANATION,
        }
    }
}

fn worker(member: &GroupMember) -> WorkerBody {
    WorkerBody {
        member_id: member.member_id.clone(),
        client_id: member.client_id.clone(),
        host: member.host.clone(),
        partitions: member.partitions.clone(),
    }
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    (later.micros() - earlier.micros()).max(0) as f64 / 1e6
}
