//! One audit of all partitions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    Audit,
    partition::{self, Found},
    sensors,
};
use crate::{
    app::servers::Servers,
    audit::{
        self, Audited, Books, Difference, Evidence, Judged, KnownTimes, Note, Obstacle, Pace,
        PartitionReport, Plan, Point, Report, Resume, TableReport, judge, judge_overwritten, judge_table,
    },
    kafka::{committed_offsets, find_topic, topic_log},
    log::{Log, Watermarks},
    reading::OnDuplicate,
    store::audit::{AcceptedCut, Snapshot, SnapshotStore, Wanted},
};

/// What a round leaves to others besides its report.
pub(super) struct After {
    pub(super) log: Log,
    pub(super) books: Vec<Books>,
    /// When the snapshot was taken.
    pub(super) taken_at: DateTime<Utc>,
    /// Partitions that went on where an earlier round ended.
    pub(super) resumed: BTreeSet<i32>,
    /// Where the next round may go on.
    pub(super) resumes: Vec<(i32, Resume)>,
}

/// An audit that is about to begin.
pub(super) struct Round<'a> {
    audit: &'a Audit,
    /// As the workers have it now.
    on_duplicate: OnDuplicate,
    store: SnapshotStore,
    started: Instant,
}

/// What is known of the topic before its log is read.
struct Topic {
    log: Log,
    committed: BTreeMap<i32, i64>,
    snapshot: Snapshot,
    ranges: BTreeMap<i32, Watermarks>,
    cuts: BTreeMap<i32, AcceptedCut>,
}

/// A partition of which something is stored.
struct Planned {
    books: Books,
    plan: Result<Plan, Obstacle>,
    /// Which times readings without a timestamp were given.
    known: Option<KnownTimes>,
}

impl<'a> Round<'a> {
    /// Connects, and reads the settings: those that the database has now, which workers follow once they are restarted.
    /// Beside other roles they are what the process runs with.
    pub(super) async fn open(audit: &'a Audit) -> anyhow::Result<Self> {
        let on_duplicate = audit.shared.read(&audit.servers.database).await?.on_duplicate;
        let store = SnapshotStore::open(&audit.servers.database).await?;
        Ok(Self { audit, on_duplicate, store, started: Instant::now() })
    }

    /// Goes on where `resumes` say, and else where the log and the counts begin.
    pub(super) async fn run(
        mut self,
        resumes: &[(i32, Resume)],
        counts_rows: bool,
        stop: &CancellationToken,
    ) -> anyhow::Result<(Report, After)> {
        let topic = self.read_topic(counts_rows).await?;
        let planned: Vec<Planned> = topic
            .snapshot
            .books
            .iter()
            .map(|books| {
                let resume = resumes.iter().find(|(partition, _)| *partition == books.partition);
                let resume = resume.map(|(_, resume)| resume);
                let range = topic.ranges.get(&books.partition).copied();
                let checkpoints = &topic.snapshot.checkpoints;
                let plan = audit::plan(books, checkpoints, resume, &topic.log.topic_id, range);
                let known_times = |plan| audit::known_times(plan, books, checkpoints, resume);
                let known = plan.as_ref().ok().and_then(known_times);
                Planned { books: books.clone(), plan, known }
            })
            .collect();
        let mut found = self.read(&topic.log, &planned, stop).await?;
        // Counted last: whatever a look-up did not find any more is in there.
        let removed = self.store.letters_removed(&topic.log).await?;
        let duplicates = self.store.duplicates(&topic.log).await?;

        let mut examples = Vec::new();
        let mut partitions = Vec::new();
        let mut audited = BTreeSet::new();
        for Planned { books, plan, .. } in &planned {
            let mut report = unaudited(&topic, books.partition);
            report.stored_offset = Some(books.next_offset);
            match plan {
                Err(obstacle) => report.differences.push(Difference::Obstacle(*obstacle)),
                Ok(plan) => {
                    let found = found.remove(&books.partition).unwrap_or_default();
                    if let Some(error) = found.unread {
                        let reason = format!("{:#}", anyhow::Error::from(error));
                        report.differences.push(Difference::Unreadable { reason });
                        partitions.push(report);
                        continue;
                    }
                    audited.insert(books.partition);
                    let removed = removed.get(&books.partition).copied().unwrap_or_default();
                    self.judge(&mut report, &topic, books, *plan, &found, removed);
                    examples.extend(found.examples);
                }
            }
            partitions.push(report);
        }
        let begun: BTreeSet<i32> = planned.iter().map(|planned| planned.books.partition).collect();
        for (&partition, range) in topic.ranges.iter().filter(|(partition, _)| !begun.contains(partition)) {
            let mut report = unaudited(&topic, partition);
            report.notes.push(Note::NotBegun { offsets: range.high - range.low });
            partitions.push(report);
        }
        partitions.sort_by_key(|report| report.partition);

        let mut report = Report {
            topic: topic.log.topic.clone(),
            topic_id: topic.log.topic_id.clone(),
            cluster_id: topic.log.cluster_id.clone(),
            taken_at: topic.snapshot.taken_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            partitions,
            ..Report::default()
        };
        self.judge_whole(&mut report, &topic, &planned, duplicates, counts_rows);
        if counts_rows {
            let found = sensors::compare(&self.audit.servers, &mut self.store).await;
            report.differences.extend(found.differences);
            report.notes.extend(found.note);
        }
        report.conclude(self.started.elapsed(), examples, self.audit.config.examples);
        Ok((report, topic.after(&planned, &audited, resumes)))
    }

    /// Kafka's offsets before the database's, which they follow; the log's ranges after, for the stored offset lies
    /// in them.
    async fn read_topic(&mut self, counts_rows: bool) -> anyhow::Result<Topic> {
        let Servers { kafka, settings, .. } = &self.audit.servers;
        let found = find_topic(kafka, settings).await?;
        let log = Log::new(&kafka.kafka_topic, found.identity);
        let committed = committed_offsets(kafka, settings, found.partitions).await?.into_iter().collect();
        let snapshot = self.store.take(Wanted { log: &log, counts_rows }).await?;
        let cuts = self.store.accepted_cuts(&log).await?;
        let ranges = topic_log(kafka, settings).await?.partitions;
        Ok(Topic { log, committed, snapshot, ranges, cuts })
    }

    /// Reads several partitions at a time.
    async fn read(
        &self,
        log: &Log,
        planned: &[Planned],
        stop: &CancellationToken,
    ) -> anyhow::Result<BTreeMap<i32, Found>> {
        let plans = planned.iter().filter_map(|planned| {
            Some((planned.books.partition, (planned.plan.ok()?, planned.known.clone())))
        });
        let pace = &Mutex::new(Pace::new(self.audit.config.cpu_share()));
        stream::iter(plans)
            .map(async |(partition, plan)| {
                let found = partition::run(self.audit, log, partition, plan, pace, stop).await?;
                anyhow::Ok((partition, found))
            })
            .buffer_unordered(usize::from(self.audit.config.concurrency))
            .try_collect()
            .await
    }

    fn judge(
        &self,
        report: &mut PartitionReport,
        topic: &Topic,
        books: &Books,
        plan: Plan,
        found: &Found,
        (letters_removed, letters_not_kept): (i64, i64),
    ) {
        let Judged { differences, notes, tally } = judge(&Evidence {
            books,
            plan,
            before: found.before,
            counted: found.counted,
            letters: topic.snapshot.letters.get(&books.partition).copied().unwrap_or_default(),
            letters_removed,
            letters_not_kept,
            on_duplicate: self.on_duplicate,
        });
        report.differences = differences;
        report.notes = notes;
        if let Some(ahead) =
            report.kafka_offset.map(|kafka| kafka - books.next_offset).filter(|ahead| *ahead > 0)
        {
            report.notes.push(Note::KafkaAhead { offsets: ahead });
        }
        // A round that goes on from an earlier one looks at nothing from before.
        if let Some(cut) = topic.cuts.get(&books.partition).filter(|_| !plan.is_resumed) {
            let accepted_at = cut.accepted_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            report.notes.push(Note::LogCut { accepted_at, letters: cut.letters });
        }
        report.audited = Some(Audited {
            from: plan.from,
            until: plan.until,
            counted_from: plan.counted_from.map(|point| point.offset),
            counts: plan.counted_from.map(|_| tally),
            found: found.counted,
            found_before: found.before,
        });
    }

    fn judge_whole(
        &self,
        report: &mut Report,
        topic: &Topic,
        planned: &[Planned],
        duplicates: i64,
        counts_rows: bool,
    ) {
        if let (true, [stored, ..]) =
            (topic.snapshot.books.is_empty(), topic.snapshot.other_clusters.as_slice())
        {
            report.differences.push(Difference::OtherCluster { stored: stored.clone() });
        }
        if let Some(table) = topic.snapshot.table {
            let (difference, note) = judge_table(&table);
            report.differences.extend(difference);
            report.notes.extend(note);
            report.table = Some(TableReport { books: table, foreign_rows: table.surplus().max(0) });
        } else if counts_rows {
            report.notes.push(Note::RowsNotCounted);
        }
        let counted = || planned.iter().filter_map(|planned| planned.plan.ok()?.counted_from);
        let is_all_counted = counted().count() == planned.len();
        if self.on_duplicate == OnDuplicate::Overwrite && is_all_counted {
            let audited = || report.partitions.iter().filter_map(|partition| partition.audited);
            let other_values = audited().map(|audited| audited.found.other_values).sum();
            let gone = audited()
                .map(|audited| {
                    audited.counts.map_or(0, |counts| counts.dead_lettered) - audited.found.letters
                })
                .sum::<i64>();
            let before: i64 = counted().map(|point| point.tally.duplicates).sum();
            report.differences.extend(judge_overwritten(other_values, duplicates - before, gone.max(0)));
        }
    }
}

impl Topic {
    /// A partition that could not be audited goes on from where it could be.
    fn after(self, planned: &[Planned], audited: &BTreeSet<i32>, resumes: &[(i32, Resume)]) -> After {
        let Self { log, snapshot, .. } = self;
        let Snapshot { books, letters, taken_at, .. } = snapshot;
        let resume = |Planned { books, .. }: &Planned| {
            if !audited.contains(&books.partition) {
                return resumes.iter().find(|(partition, _)| *partition == books.partition).cloned();
            }
            let letters = letters.get(&books.partition).copied().unwrap_or_default();
            let point = Point {
                offset: books.next_offset,
                tally: books.tally,
                letters_removed: letters.removed,
                letters_not_kept: letters.not_kept,
            };
            let (topic_id, given_times) = (books.topic_id.clone(), books.given_times.clone());
            Some((books.partition, Resume { topic_id, point, taken_at, given_times }))
        };
        let is_resumed = |planned: &&Planned| planned.plan.is_ok_and(|plan| plan.is_resumed);
        After {
            resumes: planned.iter().filter_map(resume).collect(),
            resumed: planned.iter().filter(is_resumed).map(|planned| planned.books.partition).collect(),
            log,
            books,
            taken_at,
        }
    }
}

fn unaudited(topic: &Topic, partition: i32) -> PartitionReport {
    let range = topic.ranges.get(&partition);
    PartitionReport {
        partition,
        log_start: range.map(|range| range.low),
        log_end: range.map(|range| range.high),
        kafka_offset: topic.committed.get(&partition).copied(),
        ..PartitionReport::default()
    }
}
