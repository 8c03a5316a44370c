//! The database, the group and the consumers, and how each of them changes.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State {
    /// `ingest_offsets`, by partition.
    pub(super) offsets: Vec<Offset>,
    /// How often each record's reading was inserted, by partition. Without replays there is no primary key that would
    /// hide it.
    pub(super) sensor_data: Vec<Vec<u8>>,
    /// Whose each partition is, as the group sees it.
    pub(super) owners: Vec<Option<usize>>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) faults_left: u8,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Offset {
    pub(super) next: u8,
    pub(super) locked_by: Option<usize>,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Consumer {
    pub(super) condition: Condition,
    /// What the group has said and the loop has not taken yet.
    pub(super) events: Vec<Event>,
    /// Position of each partition that it takes for its own.
    pub(super) assignment: BTreeMap<usize, u8>,
    /// Partitions that are to be given up.
    pub(super) revoking: Vec<usize>,
    /// Partitions whose fetch failed, and that have not been read again. The client would go on behind the record that
    /// it did not bring.
    pub(super) failed: BTreeSet<usize>,
    pub(super) filling: Batch,
    pub(super) writer: Writer,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    #[default]
    Up,
    /// Stopped by a signal: does nothing, keeps its connections.
    Frozen,
    Down,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Assigned(usize),
    Revoked(usize),
    Lost(usize),
}

pub(super) type Batch = BTreeMap<usize, Span>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) expected: u8,
    pub(super) next: u8,
    pub(super) records: Vec<u8>,
}

/// The writer and its transaction.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writer {
    #[default]
    Idle,
    /// To be written, for the first time or again.
    Pending(Batch),
    /// The compare-and-set has moved every offset, its rows are locked, readings are copied; COMMIT is next.
    Writing(Batch),
    /// With a bug: one of the two transactions has committed.
    HalfCommitted(Batch),
    Committed(Batch),
    /// Nothing was written, for these offsets are elsewhere.
    Fenced(Batch, BTreeMap<usize, u8>),
}

impl State {
    /// The group takes everything away from a consumer.
    pub(super) fn expel(&mut self, index: usize, is_told: bool) {
        for partition in 0..self.owners.len() {
            if self.owners[partition] == Some(index) {
                self.owners[partition] = None;
                if is_told {
                    self.consumers[index].events.push(Event::Lost(partition));
                }
            }
        }
    }

    pub(super) fn tell_owner(&mut self, partition: usize, event: Event) {
        if let Some(owner) = self.owners[partition] {
            self.consumers[owner].events.push(event);
        }
    }

    pub(super) fn on_reply(&mut self, index: usize) {
        let consumer = &mut self.consumers[index];
        let Writer::Fenced(mut batch, fences) = std::mem::take(&mut consumer.writer) else { return };
        for (&partition, &stored) in &fences {
            let Some(span) = batch.remove(&partition) else { continue };
            // Where the answer to an earlier COMMIT was lost the batch is there.
            if stored != span.next {
                consumer.filling.remove(&partition);
                if consumer.assignment.contains_key(&partition) && !consumer.revoking.contains(&partition) {
                    consumer.assignment.insert(partition, stored);
                } else {
                    consumer.forget(partition);
                }
            }
        }
        if !batch.is_empty() {
            consumer.writer = Writer::Pending(batch);
        }
    }

    /// Whether another writer waits for this one's locks.
    pub(super) fn is_waited_for(&self, index: usize) -> bool {
        let is_locked = |partition: &usize| self.offsets[*partition].locked_by == Some(index);
        self.consumers.iter().any(|consumer| match &consumer.writer {
            Writer::Pending(batch) if consumer.condition == Condition::Up => batch.keys().any(is_locked),
            _ => false,
        })
    }

    /// The database ends a transaction; the writer tries its batch again.
    pub(super) fn roll_back(&mut self, index: usize) {
        self.release_locks(index);
        let consumer = &mut self.consumers[index];
        if let Writer::Writing(batch) = &consumer.writer {
            consumer.writer = Writer::Pending(batch.clone());
        }
    }

    pub(super) fn release_locks(&mut self, index: usize) {
        for offset in &mut self.offsets {
            offset.locked_by = offset.locked_by.filter(|&holder| holder != index);
        }
    }

    pub(super) fn insert_readings(&mut self, batch: &Batch, has_primary_key: bool) {
        for (&partition, span) in batch {
            for &record in &span.records {
                let times = &mut self.sensor_data[partition][usize::from(record)];
                *times = if has_primary_key { 1 } else { *times + 1 };
            }
        }
    }

    pub(super) fn move_offsets(&mut self, batch: &Batch) {
        for (&partition, span) in batch {
            self.offsets[partition].next = span.next;
        }
    }
}

impl Consumer {
    pub(super) fn take_record(&mut self, partition: usize) {
        let Some(position) = self.assignment.get_mut(&partition) else { return };
        let new = Span { expected: *position, next: *position, records: vec![] };
        let span = self.filling.entry(partition).or_insert(new);
        span.records.push(*position);
        *position += 1;
        span.next = *position;
    }

    /// Goes past a record without having read it.
    pub(super) fn skip_record(&mut self, partition: usize) {
        let Some(position) = self.assignment.get_mut(&partition) else { return };
        let new = Span { expected: *position, next: *position, records: vec![] };
        let span = self.filling.entry(partition).or_insert(new);
        *position += 1;
        span.next = *position;
    }

    pub(super) fn forget(&mut self, partition: usize) {
        self.assignment.remove(&partition);
        self.failed.remove(&partition);
        self.filling.remove(&partition);
    }

    pub(super) fn is_pending(&self, partition: usize) -> bool {
        let in_flight = match &self.writer {
            Writer::Idle => None,
            Writer::Pending(batch)
            | Writer::Writing(batch)
            | Writer::HalfCommitted(batch)
            | Writer::Committed(batch)
            | Writer::Fenced(batch, _) => Some(batch),
        };
        self.filling.contains_key(&partition) || in_flight.is_some_and(|batch| batch.contains_key(&partition))
    }
}

impl Event {
    pub(super) fn partition(self) -> usize {
        match self {
            Self::Assigned(partition) | Self::Revoked(partition) | Self::Lost(partition) => partition,
        }
    }
}
