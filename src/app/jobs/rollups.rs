//! Stores the statistics of days that are over, so that charts of long ranges are there at once. Of workers that run
//! side by side, one does it at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::{Failure, Job, Round};
use crate::{
    config::DatabaseConfig,
    store::stats::{Reach, sweep},
};

/// How often all days are looked at; between, those of a week.
const ALL_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

pub(super) struct Rollups {
    database: DatabaseConfig,
    interval: Duration,
    /// None until all days have been looked at once.
    all_swept_at: Option<Instant>,
}

impl Rollups {
    pub(super) fn new(database: DatabaseConfig, interval: Duration) -> Self {
        Self { database, interval, all_swept_at: None }
    }
}

impl Job for Rollups {
    const NAME: &'static str = "rollups";

    /// A worker that has just started has a backlog to read.
    fn first_pause(&self) -> Duration {
        self.interval
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        let is_all_due = self.all_swept_at.is_none_or(|at| at.elapsed() >= ALL_INTERVAL);
        let reach = if is_all_due { Reach::All } else { Reach::Week };
        let swept = sweep(&self.database, reach).await?;
        tracing::debug!(kept = swept.kept, "{} days of sensors rolled up for charts", swept.kept);
        if let Some(failed) = swept.failed.any() {
            tracing::error!(
                db.sqlstate = failed.sqlstate(),
                "days not rolled up for charts; retrying in the next round: {failed}"
            );
        }
        if is_all_due && !swept.is_elsewhere {
            self.all_swept_at = Some(Instant::now());
        }
        Ok(Round::unless(swept.is_elsewhere))
    }
}
