//! The offsets of a batch.

use crate::log::Span;

/// How far a batch takes each of its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn as_slice(&self) -> &[Span] {
        &self.0
    }

    /// That of a partition.
    pub fn of(&self, partition: i32) -> Option<&Span> {
        self.0.iter().find(|span| span.partition == partition)
    }

    /// Whether there is anything of a partition.
    pub fn has(&self, partition: i32) -> bool {
        self.of(partition).is_some()
    }

    /// Takes a partition from where it stood to where it goes on.
    pub(super) fn extend(&mut self, partition: i32, position: i64, next: i64) {
        debug_assert!(next > position, "a partition moves forward");
        match self.0.iter_mut().find(|span| span.partition == partition) {
            Some(span) => {
                assert!(span.next == position, "a partition moves without a hole");
                span.next = next;
            }
            None => self.0.push(Span { partition, expected: position, next }),
        }
    }

    /// Forgets partitions.
    pub(super) fn remove(&mut self, partitions: &[i32]) {
        self.0.retain(|span| !partitions.contains(&span.partition));
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}
