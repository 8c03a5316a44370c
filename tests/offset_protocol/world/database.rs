//! The database: stored offsets, how often each record's reading is stored, and who locks what.

use sensorpipe::log::{Fence, Gap, RecordIdentity, Span, StoredOffset};

use super::{
    Beside, Broken, LastRecord,
    topic::{Log, Topic},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Database {
    contents: Contents,
    /// What a standby has: it may be behind.
    standby: Contents,
    /// By partition: the consumer whose open transaction has moved the offset.
    pub(super) locks: Vec<Option<usize>>,
    /// Operators' commands hold logs against the last records, as consumers do.
    compares_records: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Contents {
    /// `ingest_offsets`, by partition.
    offsets: Vec<Option<Offset>>,
    /// How often each record's reading was inserted. There is no primary key that would hide it.
    stored: Vec<u8>,
    /// How often operators had a record read again.
    replayed: Vec<u8>,
    /// Whether it is known that a record expired, and may not have been read.
    given_up: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Offset {
    stored: StoredOffset<LastRecord>,
    /// Where an operator had it begin, without anything beside it.
    since: i64,
    /// What a worker has found the log to have against it.
    gap: Option<Gap>,
    /// Whether one has, also where it did not say so.
    is_noticed: bool,
}

impl Database {
    pub(super) fn new(partitions: usize, compares_records: bool) -> Self {
        let contents =
            Contents { offsets: vec![None; partitions], stored: vec![], replayed: vec![], given_up: vec![] };
        Self { standby: contents.clone(), contents, locks: vec![None; partitions], compares_records }
    }

    pub(super) fn stored(&self, partition: i32) -> Option<&StoredOffset<LastRecord>> {
        self.contents.offsets[partition as usize].as_ref().map(|offset| &offset.stored)
    }

    /// What a new partition, or an operator, begins with.
    pub(super) fn begin(&mut self, partition: i32, next_offset: i64, topic_id: String) {
        let stored = StoredOffset { partition, next_offset, topic_id, given_times: 0, last_record: None };
        let since = next_offset;
        self.contents.offsets[partition as usize] =
            Some(Offset { stored, since, gap: None, is_noticed: false });
    }

    /// The partitions whose stored offset is not the expected one.
    pub(super) fn fences(&self, spans: &[(Span, Beside)], topic_id: &str) -> Vec<Fence<LastRecord>> {
        let is_elsewhere = |(span, _): &&(Span, Beside)| {
            self.stored(span.partition)
                .is_none_or(|stored| stored.next_offset != span.expected || stored.topic_id != topic_id)
        };
        let fence = |(span, beside): &(Span, Beside)| {
            let stored = self.stored(span.partition).cloned();
            let is_written = stored.as_ref().is_some_and(|stored| {
                stored.next_offset == span.next && stored.given_times == beside.given_times
            });
            Fence { partition: span.partition, stored, is_written }
        };
        spans.iter().filter(is_elsewhere).map(fence).collect()
    }

    pub(super) fn is_locked(&self, spans: &[Span], except_by: usize) -> bool {
        let lock = |span: &Span| self.locks[span.partition as usize];
        spans.iter().any(|span| lock(span).is_some_and(|holder| holder != except_by))
    }

    pub(super) fn lock(&mut self, spans: &[Span], holder: usize) {
        for span in spans {
            self.locks[span.partition as usize] = Some(holder);
        }
    }

    pub(super) fn unlock(&mut self, holder: usize) {
        for lock in &mut self.locks {
            *lock = lock.filter(|&by| by != holder);
        }
    }

    pub(super) fn insert(&mut self, records: impl Iterator<Item = LastRecord>) {
        for record in records {
            *entry(&mut self.contents.stored, record) += 1;
        }
    }

    pub(super) fn move_offsets(&mut self, spans: &[(Span, Beside)], topic_id: &str) {
        for &(span, Beside { given_times, last_record }) in spans {
            let offset = &mut self.contents.offsets[span.partition as usize];
            let since = offset.as_ref().map_or(span.expected, |offset| offset.since);
            let (partition, next_offset, topic_id) = (span.partition, span.next, topic_id.to_owned());
            let stored = StoredOffset { partition, next_offset, topic_id, given_times, last_record };
            *offset = Some(Offset { stored, since, gap: None, is_noticed: false });
        }
    }

    /// An operator has these records read again.
    pub(super) fn replay(&mut self, records: impl Iterator<Item = LastRecord>) {
        for record in records {
            // What is not stored yet is not stored again.
            if *entry(&mut self.contents.stored, record) > 0 {
                *entry(&mut self.contents.replayed, record) += 1;
            }
        }
    }

    /// It is known that records of a log expired: it is read from where it begins.
    pub(super) fn give_up(&mut self, log: &Log) {
        for record in log.expired() {
            *entry(&mut self.contents.given_up, record) = 1;
        }
    }

    /// A worker notes what it has found a log to have against a stored offset.
    pub(super) fn keep_gap(&mut self, gap: Gap, at: &StoredOffset<LastRecord>, is_said: bool) {
        let Some(offset) = &mut self.contents.offsets[at.partition as usize] else { return };
        let of = |stored: &StoredOffset<LastRecord>| (stored.next_offset, stored.last_record);
        if of(&offset.stored) == of(at) && offset.stored.topic_id == at.topic_id {
            offset.gap = is_said.then_some(gap);
            offset.is_noticed = true;
        }
    }

    /// What is noted of a partition whose offset is of this topic.
    pub(super) fn found_gap(&self, partition: i32, topic_id: &str) -> Option<Gap> {
        let offset = self.contents.offsets[partition as usize].as_ref()?;
        offset.gap.filter(|_| offset.stored.topic_id == topic_id)
    }

    /// Nobody can tell whether a log was cut: what was put in the place of other records is not missed, unless somebody
    /// had noticed it before.
    pub(super) fn give_up_regrown(&mut self, partition: i32, log: &Log) {
        let offset = self.contents.offsets[partition as usize].as_ref();
        if offset.is_some_and(|offset| !offset.is_noticed) {
            for record in log.regrown() {
                *entry(&mut self.contents.given_up, record) = 1;
            }
        }
    }

    /// Whether a record is stored, or known to be gone.
    fn is_accounted_for(&self, record: LastRecord) -> bool {
        let is_in = |counts: &[u8]| counts.get(usize::from(record)).is_some_and(|&count| count > 0);
        is_in(&self.contents.stored) || is_in(&self.contents.given_up)
    }

    /// The standby catches up.
    pub(super) fn replicate(&mut self) {
        self.standby = self.contents.clone();
    }

    /// The standby takes over; what it has not got is lost, and so is every open transaction.
    pub(super) fn fail_over(&mut self) {
        self.contents = self.standby.clone();
        self.locks.fill(None);
    }

    pub(super) fn is_behind(&self) -> bool {
        self.standby != self.contents
    }

    /// Why a partition cannot be read from its stored offset.
    pub(super) fn gap(&self, partition: usize, topic: &Topic) -> Option<Gap> {
        let (stored, log) = (self.stored(partition as i32)?, &topic.logs[partition]);
        let has_diverged = self.compares_records
            && stored.last_record.is_some_and(|last| has_diverged(log, last, stored.next_offset));
        stored
            .gap(&topic.id(), log.watermarks())
            .or_else(|| self.found_gap(partition as i32, &topic.id()))
            .or(has_diverged.then_some(Gap::LogDiverged))
    }

    /// Whether everything of a partition has been read.
    pub(super) fn has_all(&self, partition: usize, topic: &Topic) -> bool {
        let high = topic.logs[partition].watermarks().high;
        self.gap(partition, topic).is_none()
            && self
                .stored(partition as i32)
                .is_some_and(|stored| stored.next_offset == high && stored.topic_id == topic.id())
    }

    /// Whether everything of a partition that has been read is stored.
    pub(super) fn misses_nothing(&self, partition: usize, topic: &Topic) -> bool {
        let (log, offset) = (&topic.logs[partition], self.contents.offsets[partition].as_ref());
        let ends = log.watermarks();
        // The record that would tell has expired, and nobody had noticed before.
        let can_tell = offset.is_some_and(|offset| {
            offset.is_noticed || offset.stored.last_record.is_some_and(|last| ends.low <= last.offset)
        });
        log.records(0, ends.high)
            .all(|record| self.is_accounted_for(record) || (!can_tell && log.is_regrown(record)))
    }

    pub(super) fn broken(&self, topic: &Topic) -> Option<Broken> {
        let times = |counts: &[u8], record: LastRecord| counts.get(usize::from(record)).copied().unwrap_or(0);
        let Contents { offsets, stored, replayed, given_up: _ } = &self.contents;
        for record in 0..topic.record_count() as LastRecord {
            if times(stored, record) > 1 + times(replayed, record) {
                return Some(Broken::Twice);
            }
        }
        for offset in offsets.iter().flatten() {
            let at = &offset.stored;
            if at.topic_id != topic.id() {
                continue;
            }
            let log = &topic.logs[at.partition as usize];
            // What has come in the place of others is missed where it is not stored in the end.
            let is_missing = |record| !self.is_accounted_for(record) && !log.is_regrown(record);
            if log.records(0, at.next_offset).any(is_missing) {
                return Some(Broken::Lost);
            }
            // Where an operator had it begin, nothing was beside it; a consumer that had been there knows better.
            let last = [offset.since, 0].map(|from| log.records(from, at.next_offset).last().unwrap_or(0));
            let is_not_read = |record| log.is_regrown(record) && times(stored, record) == 0;
            let is_of_this_log = self.gap(at.partition as usize, topic).is_none()
                && !log.records(0, at.next_offset).any(is_not_read);
            if is_of_this_log && !last.contains(&at.given_times) {
                return Some(Broken::Beside);
            }
        }
        None
    }
}

/// Whether a log has another record than this one, or one between it and an offset, as far as it can tell.
fn has_diverged(log: &Log, last: RecordIdentity, next_offset: i64) -> bool {
    let ends = log.watermarks();
    let is_known = ends.low <= last.offset && next_offset <= ends.high;
    let is_same = log.identity(last.offset).is_some_and(|found| last.is_same_as(&found));
    is_known && (!is_same || log.records(last.offset + 1, next_offset).next().is_some())
}

fn entry(counts: &mut Vec<u8>, record: LastRecord) -> &mut u8 {
    let index = usize::from(record);
    if counts.len() <= index {
        counts.resize(index + 1, 0);
    }
    &mut counts[index]
}
