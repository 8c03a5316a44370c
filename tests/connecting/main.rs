//! How sensorpipe connects to Postgres: several hosts of which one is the primary, and poolers in between.

mod api;
mod hosts;
mod lost_tail;
mod pgbouncer;
mod promotion;

use std::time::Duration;

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(120);
