//! The topic: a log for each partition, of records and of what is none.

use sensorpipe::log::Watermarks;

use super::LastRecord;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Topic {
    /// Counts how often a topic of this name was created.
    generation: u8,
    pub(super) logs: Vec<Log>,
    next_record: LastRecord,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// What retention has taken is before it.
    start: i64,
    entries: Vec<Entry>,
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
        let mut topic = Self { generation: 0, logs: vec![Log::default(); partitions], next_record: 1 };
        for partition in 0..partitions {
            for _ in 0..records {
                topic.append(partition, true);
            }
        }
        topic
    }

    pub(super) fn id(&self) -> String {
        self.generation.to_string()
    }

    pub(super) fn append(&mut self, partition: usize, is_record: bool) {
        let entry = if is_record {
            self.next_record += 1;
            Entry::Record(self.next_record - 1)
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
        self.logs.fill(Log::default());
    }
}

impl Log {
    pub(super) fn watermarks(&self) -> Watermarks {
        Watermarks { low: self.start, high: self.start + self.entries.len() as i64 }
    }

    pub(super) fn entry(&self, offset: i64) -> Option<Entry> {
        self.entries.get(usize::try_from(offset - self.start).ok()?).copied()
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

    pub(super) fn expire_first(&mut self) {
        if let Entry::Record(number) = self.entries.remove(0) {
            self.expired.push((self.start, number));
        }
        self.start += 1;
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
    }

    /// The records that were cut off; somebody may have them still.
    pub(super) fn cut(&self) -> impl Iterator<Item = LastRecord> {
        self.cut.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
