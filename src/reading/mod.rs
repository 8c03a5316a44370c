//! A reading: its parts, its limits, and every fate that it can meet. Pure: no I/O, no clock.
//!
//! ```text
//! bytes of a record ── decode ──> Reading | Reject        (topic format, `decode`)
//! text of a field   ── timestamp, value ──> Timestamp, f64 (the lax forms that HTTP shares)
//! reading without one ── untimed ──> Timestamp              (from its record's, a function of the log)
//! Reading           ── encode ──> bytes of a record        (what the api and `seed` publish)
//! ```

mod acceptance;
mod brackets;
pub mod decode;
pub mod encode;
mod json;
mod timestamp;
pub mod untimed;
mod value;

pub use acceptance::Acceptance;
pub(crate) use brackets::Brackets;
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use value::{InvalidValue, parse_value};

/// One measurement of one sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Key of `sensors`.
    pub sensor_id: i32,
    /// When it was measured.
    pub time: Timestamp,
    /// What was measured; finite.
    pub value: f64,
}

/// Why a reading can never be stored. The text of each is part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is not JSON.
    MalformedJson,
    /// JSON, but none of the three forms.
    WrongShape,
    /// A NUL byte in it.
    NulByte,
    /// A record without a value.
    EmptyRecord,
    /// A timestamp that cannot be read.
    InvalidTimestamp,
    /// A timestamp outside the accepted window.
    TimeOutOfWindow,
    /// Not a number, or not finite.
    InvalidValue,
    /// No row in `sensors`.
    UnknownSensor,
    /// Larger than what is accepted.
    TooLarge,
    /// The database refuses the row itself.
    RejectedByDatabase,
}

impl Reason {
    /// Every reason, for metrics and documents.
    pub const ALL: [Self; 10] = [
        Self::MalformedJson,
        Self::WrongShape,
        Self::NulByte,
        Self::EmptyRecord,
        Self::InvalidTimestamp,
        Self::TimeOutOfWindow,
        Self::InvalidValue,
        Self::UnknownSensor,
        Self::TooLarge,
        Self::RejectedByDatabase,
    ];

    /// Whether the very same bytes may be stored one day: what is against them lies outside of them, and can change.
    pub fn may_pass_later(self) -> bool {
        match self {
            Self::TimeOutOfWindow | Self::UnknownSensor | Self::RejectedByDatabase => true,
            Self::MalformedJson
            | Self::WrongShape
            | Self::NulByte
            | Self::EmptyRecord
            | Self::InvalidTimestamp
            | Self::InvalidValue
            | Self::TooLarge => false,
        }
    }

    /// The name as it stands in `dead_letters.reason` and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::WrongShape => "wrong_shape",
            Self::NulByte => "nul_byte",
            Self::EmptyRecord => "empty_record",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::TimeOutOfWindow => "time_out_of_window",
            Self::InvalidValue => "invalid_value",
            Self::UnknownSensor => "unknown_sensor",
            Self::TooLarge => "too_large",
            Self::RejectedByDatabase => "rejected_by_database",
        }
    }
}

impl std::str::FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

/// No reason has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a reason")]
pub struct UnknownReason;

/// Which of two readings for the same sensor and time stays.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The first one.
    Ignore,
    /// The last one.
    Overwrite,
}

/// The times that are accepted; a broken clock must not make thousands of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Earliest time, inclusive.
    pub since: Timestamp,
    /// Latest time, inclusive.
    pub until: Timestamp,
}

impl Window {
    /// Whether a reading of this time is accepted.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.since <= time && time <= self.until
    }
}
