//! The worker's task that keeps days that are over, so that charts of long ranges are there at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    config::DatabaseConfig,
    store::stats::{Reach, sweep},
};

/// How often all days are looked at; between, those of a week.
const ALL_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

/// Where and how often.
pub(super) struct KeepDays {
    pub(super) database: DatabaseConfig,
    pub(super) interval: Duration,
}

impl KeepDays {
    /// Looks now and then, until `stop`; what is under way then is rolled back. Of workers that run side by side, one
    /// does it at a time.
    pub(super) async fn run(self, stop: CancellationToken) {
        let working = async {
            let mut all_due = Instant::now();
            loop {
                // A worker that has just started has a backlog to read.
                sleep(self.interval).await;
                let reach = if Instant::now() >= all_due { Reach::All } else { Reach::Week };
                match sweep(&self.database, reach).await {
                    Ok(swept) => {
                        tracing::debug!(kept = swept.kept, "{} days of sensors kept for charts", swept.kept);
                        if let Some(failed) = swept.failed.any() {
                            tracing::error!(
                                db.sqlstate = failed.sqlstate(),
                                "days not kept for charts; trying again next time: {failed}"
                            );
                        }
                        if reach == Reach::All {
                            all_due = Instant::now() + ALL_INTERVAL;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(error = %error, cause = error.cause(), "days are not kept for charts");
                    }
                }
            }
        };
        tokio::select! {
            () = working => {}
            () = stop.cancelled() => {}
        }
    }
}
