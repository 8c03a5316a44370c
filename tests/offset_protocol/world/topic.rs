//! The topic: a log for each partition, of records and of what is none.

use sensorpipe::log::{RecordIdentity, Watermarks};

use super::LastRecord;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Topic {
    /// Counts how often a topic of this name was created.
    generation: u8,
    pub(super) logs: Vec<Log>,
    next_record: LastRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// What retention has taken is before it.
    start: i64,
    entries: Vec<Entry>,
    /// The leaders' epochs, each with the offset of its first entry.
    epochs: Vec<(i32, i64)>,
    /// Records in the place of others that were cut off after somebody had read them.
    regrown: Vec<LastRecord>,
    /// What retention took, with its offset: it may not have been read.
    expired: Vec<(i64, LastRecord)>,
    cut: Vec<LastRecord>,
}

/// What stands at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// A record with one reading; each has a number of its own.
    Record(LastRecord),
    /// The end of a transaction, say: readers are not handed it.
    Marker,
}

impl Topic {
    pub(super) fn new(partitions: usize, records: usize) -> Self {
        let mut topic = Self { generation: 0, logs: vec![Log::new(); partitions], next_record: 1 };
        for partition in 0..partitions {
            for _ in 0..records {
                topic.append(partition, true, false);
            }
        }
        topic
    }

    pub(super) fn id(&self) -> String {
        self.generation.to_string()
    }

    /// `is_read_past`: somebody goes on after this offset, for another record was there.
    pub(super) fn append(&mut self, partition: usize, is_record: bool, is_read_past: bool) {
        let entry = if is_record {
            self.next_record += 1;
            let record = self.next_record - 1;
            if is_read_past {
                self.logs[partition].regrown.push(record);
            }
            Entry::Record(record)
        } else {
            Entry::Marker
        };
        self.logs[partition].entries.push(entry);
    }

    /// How many records there have ever been.
    pub(super) fn record_count(&self) -> usize {
        self.next_record.into()
    }

    /// Deletes the topic, and creates one of the same name.
    pub(super) fn recreate(&mut self) {
        self.generation += 1;
        self.logs.fill(Log::new());
    }
}

impl Log {
    fn new() -> Self {
        Self {
            start: 0,
            entries: vec![],
            epochs: vec![(0, 0)],
            regrown: vec![],
            expired: vec![],
            cut: vec![],
        }
    }

    pub(super) fn watermarks(&self) -> Watermarks {
        Watermarks { low: self.start, high: self.start + self.entries.len() as i64 }
    }

    pub(super) fn entry(&self, offset: i64) -> Option<Entry> {
        self.entries.get(usize::try_from(offset - self.start).ok()?).copied()
    }

    /// Which record is at an offset, if there is one.
    pub(super) fn identity(&self, offset: i64) -> Option<RecordIdentity> {
        let Entry::Record(number) = self.entry(offset)? else { return None };
        let value = number.to_le_bytes();
        Some(RecordIdentity::new(offset, Some(self.epoch(offset)), None, Some(&value), None))
    }

    pub(super) fn epoch(&self, offset: i64) -> i32 {
        self.epochs.iter().rev().find(|(_, start)| *start <= offset).map_or(0, |(epoch, _)| *epoch)
    }

    /// Where the entries of an epoch end, as a leader answers who asks.
    pub(super) fn end_of_epoch(&self, epoch: i32) -> i64 {
        let next = self.epochs.iter().find(|(later, _)| *later > epoch);
        next.map_or(self.watermarks().high, |(_, start)| *start)
    }

    /// Whether a record is in the place of another one that somebody had read.
    pub(super) fn is_regrown(&self, record: LastRecord) -> bool {
        self.regrown.contains(&record)
    }

    /// The records in the place of others.
    pub(super) fn regrown(&self) -> impl Iterator<Item = LastRecord> {
        self.regrown.iter().copied()
    }

    /// The records from an offset to before another.
    pub(super) fn records(&self, from: i64, to: i64) -> impl Iterator<Item = LastRecord> {
        let here = (self.start..).zip(&self.entries).filter_map(|(offset, entry)| match entry {
            Entry::Record(number) => Some((offset, *number)),
            Entry::Marker => None,
        });
        let all = self.expired.iter().copied().chain(here);
        all.filter(move |(offset, _)| (from..to).contains(offset)).map(|(_, number)| number)
    }

    pub(super) fn expire_first(&mut self, entries: usize) {
        for entry in self.entries.drain(..entries.min(self.entries.len())) {
            if let Entry::Record(number) = entry {
                self.expired.push((self.start, number));
            }
            self.start += 1;
        }
    }

    /// The records that retention took.
    pub(super) fn expired(&self) -> impl Iterator<Item = LastRecord> {
        self.expired.iter().map(|(_, record)| *record)
    }

    /// Loses the last entry, as a replica that was behind does when it becomes the leader.
    pub(super) fn cut_last(&mut self) {
        if let Some(Entry::Record(record)) = self.entries.pop() {
            self.cut.push(record);
        }
        let (epoch, end) = (self.epochs.last().map_or(0, |(epoch, _)| *epoch), self.watermarks().high);
        self.epochs.retain(|(_, start)| *start < end);
        self.epochs.push((epoch + 1, end));
    }

    /// The records that were cut off; somebody may have them still.
    pub(super) fn cut(&self) -> impl Iterator<Item = LastRecord> {
        self.cut.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
