//! A range of a partition's log while it is read.

use super::{
    fetch_error::FetchError,
    log_error::LogError,
    partition_queue::{Fetched, PartitionQueue},
};
use crate::{
    batch::Record,
    log::{FetchFault, offset_after},
};

/// Most records taken out of a partition's queue at a time.
const DRAIN_MAX: usize = 1_024;

/// Offsets of a partition from one to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last.
    pub end: i64,
}

/// A range that is not read to its end yet.
pub(super) struct OpenRange {
    pub(super) queue: PartitionQueue,
    pub(super) unread: Range,
}

/// What taking records out of a queue came to.
pub(super) enum Turn {
    More,
    End,
    /// A fetch failed in a way that passes.
    Failed(FetchError),
}

impl OpenRange {
    /// Hands on what is there.
    pub(super) fn drain(&mut self, each: &mut impl FnMut(&Record<'_>)) -> Result<Turn, LogError> {
        let drained = self.queue.drain(DRAIN_MAX);
        for item in drained.items() {
            match item {
                Fetched::Record(record) if record.offset >= self.unread.end => return Ok(Turn::End),
                Fetched::Record(record) => {
                    self.unread.start = offset_after(record.offset);
                    each(&record);
                    if self.unread.start >= self.unread.end {
                        return Ok(Turn::End);
                    }
                }
                Fetched::End(_) => return Ok(Turn::End),
                // What follows a failed fetch says nothing of what lies between: it is read again from here.
                Fetched::Failed(error) => return self.on_failed(error),
            }
        }
        Ok(Turn::More)
    }

    fn on_failed(&self, error: FetchError) -> Result<Turn, LogError> {
        let Range { partition, start: offset, .. } = self.unread;
        match error.fault {
            FetchFault::OffsetOutOfRange => Err(LogError::StartPassed { partition, offset }),
            FetchFault::Lasting(_) => Err(LogError::Unreadable { partition, offset, source: error }),
            FetchFault::Passing => Ok(Turn::Failed(error)),
        }
    }
}
