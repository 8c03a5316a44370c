//! Dead letters worked through: looked at, replayed, discarded, expired, mirrored.
//!
//! A dead letter leaves in the transaction that says why: its readings are stored, or it is no longer wanted, and
//! `dead_letter_removals` counts it. Dead letters are locked first, in the order of their ids, and the counts last; in between
//! come the locks that every writer of readings takes. A worker that reads a record again locks its dead letters first, too.
//! So nobody waits in a circle, and of two who work through the same dead letters one finds them gone.

mod dead_letter;
mod expiry;
mod filter;
mod forwarding;
mod list;
mod locked_dead_letter;
mod overflow;
mod portion;
mod progress;
mod removal;
mod replay;
mod replay_outcome;
mod summary;

use super::dead_letter_part::Part;
use crate::reading::Reason;

pub use dead_letter::{Letter, WholeDeadLetter};
pub use expiry::{Expiry, expire};
pub use filter::{Filter, ReasonName};
pub use forwarding::{ForwardingQueue, UnforwardedDeadLetter};
pub use list::{Page, find, page};
pub use overflow::{OverflowRange, RANGES_MAX, not_kept};
pub use portion::{IDS_MAX, PORTION_MAX, Portion, Selection};
pub use removal::{Discarded, discard};
pub use replay::{Refused, ReplayRules, Replayed, replay};
pub use summary::{COUNT_MAX, ReasonSummary, summary, waiting};

/// The reasons of dead letters that a replay may store.
fn replayable_reasons() -> Vec<&'static str> {
    Reason::ALL.into_iter().filter(|reason| reason.may_pass_later()).map(Reason::as_str).collect()
}
