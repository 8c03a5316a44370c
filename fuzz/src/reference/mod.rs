//! The contract of readings, written down a second time and slowly: JSON by `serde_json`, dates by `chrono`, doubles
//! by the standard library.

mod json;
mod reading;
mod time;

use sensorpipe::reading::{Timestamp, Window};

pub use json::{Json, parse, parse_nested};
pub use reading::{
    Outcome, has_time_name, is_foreign, item, may_be_not_finite, number, record, time_of, value_of,
};
pub use time::{time_number, time_text};

/// The time of receipt in all checks.
pub const RECEIVED: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// The window in all checks: from 2000 to a day after [`RECEIVED`].
pub const WINDOW: Window = Window {
    since: Timestamp::from_micros(946_684_800_000_000),
    until: Timestamp::from_micros(1_800_086_400_000_000),
};
