//! What becomes of a dead letter that is replayed.

use super::Part;

/// What becomes of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReplayOutcome {
    Stored,
    Duplicate,
    Refused {
        reason: String,
        detail: String,
    },
    /// Of many readings each has a fate of its own; the dead letter goes where none is left.
    Parted {
        stored: u64,
        duplicates: u64,
        left: Option<Box<Left>>,
    },
}

/// Readings that are still refused, of a dead letter of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) part: Part,
    pub(super) reason: String,
    pub(super) detail: String,
}
