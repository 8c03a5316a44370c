//! Dead letters worked through: looked at, replayed, discarded, expired, mirrored.
//!
//! A dead letter leaves in the transaction that says why: its readings are stored, or it is no longer wanted, and
//! `dead_letter_removals` counts it. Dead letters are locked first, in the order of their ids, and the counts last; in between
//! come the locks that every writer of readings takes. A worker that reads a record again locks its dead letters first, too.
//! So nobody waits in a circle, and of two who work through the same dead letters one finds them gone.

mod expiry;
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

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::dead_letter_part::Part;
use crate::reading::Reason;

pub use expiry::{Expiry, expire};
pub use forwarding::{ForwardingQueue, UnforwardedDeadLetter};
pub use list::{Page, find, page};
pub use overflow::{OverflowRange, RANGES_MAX, not_kept};
pub use portion::{IDS_MAX, PORTION_MAX, Portion, Selection};
pub use removal::{Discarded, discard};
pub use replay::{Refused, ReplayRules, Replayed, replay};
pub use summary::{COUNT_MAX, ReasonSummary, summary, waiting};

/// Which dead letters are meant; all conditions together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this partition.
    pub partition: Option<i32>,
    /// Set aside for this reason.
    pub reason: Option<Reason>,
    /// Whose record's key is this sensor's id, as the topic's contract has it.
    pub sensor_id: Option<i32>,
    /// Set aside then or later.
    pub since: Option<DateTime<Utc>>,
    /// Set aside before then.
    pub until: Option<DateTime<Utc>>,
}

/// A dead letter without what can be large.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Letter {
    /// Its id.
    pub id: i64,
    /// Topic of its record.
    pub topic: String,
    /// Kafka's id of that topic; none for dead letters from before it was kept.
    pub topic_id: Option<String>,
    /// Partition of its record.
    pub partition: i32,
    /// Offset of its record.
    pub offset: i64,
    /// Place of the reading in the record, from 0; none where the record as a whole is meant, or many of its readings.
    pub item: Option<i32>,
    /// Why it was set aside; a text, since a newer version may have reasons that this one does not know.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// When it was set aside.
    pub received_at: DateTime<Utc>,
    /// The record's own timestamp.
    pub record_time: Option<DateTime<Utc>>,
    /// When it was mirrored to `DEAD_LETTER_TOPIC`.
    pub mirrored_at: Option<DateTime<Utc>>,
    /// The record's key, in a list only where it is short.
    pub key: Option<Vec<u8>>,
    /// How long the payload is.
    pub payload_bytes: Option<i64>,
    /// For how many readings of the record it stands.
    pub readings: i32,
    /// Whether it is one for many readings of the record, however few of them are left.
    pub is_of_many: bool,
}

impl Letter {
    /// Whether a replay may store it.
    pub fn is_replayable(&self) -> bool {
        self.reason.parse().is_ok_and(Reason::may_pass_later)
    }
}

/// All of a letter.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct WholeDeadLetter {
    /// What lists have, and the whole key.
    #[sqlx(flatten)]
    pub letter: Letter,
    /// A record with just this reading; the record as it came where it is meant as a whole, or many of its readings.
    pub payload: Option<Vec<u8>>,
    /// `[{"key":…,"value":…}]`, with `"base64"` for a value that is no text.
    pub headers: Option<Value>,
}

/// The reasons of dead letters that a replay may store.
fn replayable_reasons() -> Vec<&'static str> {
    Reason::ALL.into_iter().filter(|reason| reason.may_pass_later()).map(Reason::as_str).collect()
}
