//! Kept daily statistics say what the guide's query says of the readings, whoever writes and reads when.
//!
//! `ROLLUPS_STEPS` (150) says how many steps the random histories have, and `ROLLUPS_SEED` repeats one that was printed.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod any_values;
mod bench;
mod chart_edges;
mod doubles;
mod failed_days;
mod histories;
mod interleavings;
mod nearest;
mod others_sql;
mod plans;
mod quarter_hours;
mod retention;

use std::time::Duration;

/// Bound on anything that takes seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A number from the environment, or the one that suits `dev/test`.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Random steps that can be had again.
fn dice(test: &str) -> rand::rngs::StdRng {
    let seed = setting("ROLLUPS_SEED", rand::random::<u32>().into());
    println!("{test}: ROLLUPS_SEED={seed}");
    rand::SeedableRng::seed_from_u64(seed)
}
