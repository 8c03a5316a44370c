//! What shows that a partition's log is still the one whose records were taken.
//!
//! Offsets do not: a log that was cut grows again, with other records, past any offset that is stored. So a partition is read
//! from the last record that was taken. That one has to come first, and nothing between it and the position; the client knows
//! its leader's epoch from then on, and notices a cut by itself.

use crate::log::RecordIdentity;

/// What has to come first of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Nothing more: the log is the one it was, or nobody knows a record of it.
    Complete,
    /// This record.
    Record(RecordIdentity),
    /// Nothing before the position: this record was there, and no other one lay between it and the position.
    NothingAfter(RecordIdentity),
}

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It is taken.
    Taken,
    /// It was taken before.
    Known,
    /// It is in the place of one that was taken, or where there was none: the log is another one.
    Contradiction,
}

impl Proof {
    pub(super) fn by(last_record: Option<RecordIdentity>) -> Self {
        last_record.map_or(Self::Complete, Self::Record)
    }

    /// The offset that has to be read for it.
    pub(super) fn begins_at(self) -> Option<i64> {
        match self {
            Self::Complete => None,
            Self::Record(record) | Self::NothingAfter(record) => Some(record.offset),
        }
    }
}

/// Records of a partition as they come: offsets have gaps, so any that is not behind is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The offset after the last one that was taken; before that, the partition's position.
    pub next: i64,
    /// What has to come first.
    pub proof: Proof,
    /// Whether the log was seen to be another one; nothing is taken from then on.
    pub has_diverged: bool,
}

impl Run {
    /// One that goes on from an offset, where this record was the last one before it.
    pub fn after(next: i64, last_record: RecordIdentity) -> Self {
        Self::new(next, Proof::Record(last_record))
    }

    pub(super) fn new(next: i64, proof: Proof) -> Self {
        Self { next, proof, has_diverged: false }
    }

    /// What is done with the record at this offset, and notes that it was.
    pub fn meet(&mut self, offset: i64, identity: impl FnOnce() -> RecordIdentity) -> Met {
        let met = match self.proof {
            _ if self.has_diverged => Met::Contradiction,
            Proof::Record(last) if offset < last.offset => Met::Known,
            Proof::Record(last) if last.is_same_as(&identity()) => {
                self.proof = Proof::NothingAfter(last);
                Met::Known
            }
            Proof::Record(_) => Met::Contradiction,
            Proof::NothingAfter(last) if last.offset < offset && offset < self.next => Met::Contradiction,
            Proof::NothingAfter(_) | Proof::Complete if offset < self.next => Met::Known,
            Proof::NothingAfter(_) | Proof::Complete => Met::Taken,
        };
        match met {
            Met::Taken => {
                self.proof = Proof::Complete;
                self.next = crate::log::offset_after(offset);
            }
            Met::Known => {}
            Met::Contradiction => self.has_diverged = true,
        }
        met
    }

    /// Notes that Kafka holds nothing more below this offset.
    pub fn meet_end(&mut self, offset: i64) {
        match self.proof {
            // The record should have come.
            Proof::Record(last) if offset > last.offset => self.has_diverged = true,
            Proof::NothingAfter(_) if offset >= self.next => self.proof = Proof::Complete,
            Proof::Record(_) | Proof::NothingAfter(_) | Proof::Complete => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, value: &[u8]) -> RecordIdentity {
        RecordIdentity::new(offset, Some(0), None, Some(value), None)
    }

    /// A run that goes on at 8 after a record at 5: at 6 and 7 there were markers.
    fn run() -> Run {
        Run::new(8, Proof::by(Some(record(5, b"last"))))
    }

    fn meet(run: &mut Run, offset: i64, value: &[u8]) -> Met {
        run.meet(offset, || record(offset, value))
    }

    #[test]
    fn what_comes_after_the_record_that_was_last_is_taken() {
        let mut run = run();
        assert_eq!([meet(&mut run, 4, b"before"), meet(&mut run, 5, b"last")], [Met::Known; 2]);
        assert_eq!(meet(&mut run, 8, b"new"), Met::Taken);
        assert_eq!((run.next, run.proof, run.has_diverged), (9, Proof::Complete, false));
    }

    #[test]
    fn another_record_in_its_place_contradicts() {
        for (offset, value) in [(5, b"else"), (6, b"last"), (8, b"last")] {
            let mut run = run();
            assert_eq!(meet(&mut run, offset, value), Met::Contradiction, "{offset}");
            assert_eq!(meet(&mut run, 9, b"more"), Met::Contradiction, "nothing is taken after it");
            assert_eq!((run.next, run.has_diverged), (8, true));
        }
    }

    #[test]
    fn a_record_where_there_was_none_contradicts() {
        let mut run = run();
        assert_eq!(meet(&mut run, 5, b"last"), Met::Known);
        assert_eq!(meet(&mut run, 7, b"new"), Met::Contradiction);
    }

    #[test]
    fn an_end_proves_what_lies_before_it() {
        let mut empty = run();
        empty.meet_end(5);
        assert_eq!(empty, run(), "a leader may not know its end yet");
        empty.meet_end(6);
        assert!(empty.has_diverged);
        let mut proven = run();
        meet(&mut proven, 5, b"last");
        proven.meet_end(7);
        assert_eq!(proven.proof, Proof::NothingAfter(record(5, b"last")));
        proven.meet_end(8);
        assert_eq!(proven.proof, Proof::Complete);
    }
}
