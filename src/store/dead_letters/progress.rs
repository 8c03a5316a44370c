//! How far the replay of a dead letter has come that has more readings than one transaction stores.

use crate::{
    batch::RejectedGroup,
    reading::{Reason, decode::Reject},
    store::dead_letters::Part,
};

/// A dead letter of which some places are tried.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The dead letter's id.
    pub(super) id: i64,
    /// The first place that is not tried.
    pub(super) next: u32,
    /// What is left of the letter. A dry run goes on from here, for its row is what it was.
    pub(super) left: Part,
    /// Places that were tried and refused, and why.
    refused: Vec<(u32, Reason)>,
    /// What is wrong with the first of them.
    first_detail: String,
}

impl Progress {
    /// Of the readings that stay, those before `next` are refused and the others not tried.
    pub(super) fn new(id: i64, next: u32, left: Part, stay: &RejectedGroup) -> Self {
        let refused = stay.places().take_while(|(place, _)| *place < next).collect();
        Self { id, next, left, refused, first_detail: stay.first_detail().to_owned() }
    }

    /// Why the reading at this place was refused; `otherwise` for one that was not, and is the dead letter's again since.
    pub(super) fn reject_of(&self, place: u32, otherwise: Reason) -> Reject {
        let at = self.refused.binary_search_by_key(&place, |(place, _)| *place);
        let reason = at.map_or(otherwise, |at| self.refused[at].1);
        let is_first = at == Ok(0);
        let detail = if is_first { self.first_detail.clone() } else { reason.as_str().to_owned() };
        Reject::new(reason, detail)
    }
}
