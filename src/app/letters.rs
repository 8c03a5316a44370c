//! The worker's task that counts dead letters, and deletes those that are older than `DEAD_LETTER_RETENTION`.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{DatabaseConfig, LetterBounds, LetterRetention},
    metrics::{DEAD_LETTER_BOUND_RATIO, DEAD_LETTER_OLDEST, DEAD_LETTERS_WAITING},
    store::{
        StoreError,
        dead_letters::{self, Expiry, ReasonSummary},
    },
};

/// How often they are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// When and how old dead letters go.
pub(super) struct Letters {
    pub(super) database: DatabaseConfig,
    pub(super) retention: LetterRetention,
    pub(super) interval: Duration,
    pub(super) is_mirrored: bool,
    pub(super) bounds: LetterBounds,
}

impl Letters {
    /// Counts and deletes at once and then now and then, until `stop`; what is under way then is rolled back.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (mut counting, mut expiring) = (every(COUNT_INTERVAL), every(self.interval));
        let mut can_count = true;
        let working = async {
            loop {
                tokio::select! {
                    _ = counting.tick() => self.count(&mut can_count).await,
                    _ = expiring.tick() => self.expire().await,
                }
            }
        };
        tokio::select! {
            () = working => {}
            () = stop.cancelled() => {}
        }
    }

    async fn count(&self, can_count: &mut bool) {
        let counted = dead_letters::waiting(&self.database).await;
        let could_count = std::mem::replace(can_count, counted.is_ok());
        match counted {
            Ok((reasons, usage)) => {
                tell(&reasons);
                metrics::gauge!(DEAD_LETTER_BOUND_RATIO).set(usage.share_of(self.bounds));
            }
            // Said once: the figures stay what they were, and the worker does its work without them.
            Err(error) if could_count => warn(&error, "dead letters cannot be counted"),
            Err(_) => {}
        }
    }

    async fn expire(&self) {
        let Some(age) = self.retention.0 else { return };
        let expiry = Expiry { age, is_mirrored: self.is_mirrored };
        match dead_letters::expire(&self.database, expiry).await {
            Ok(0) => {}
            Ok(letters) => tracing::warn!(letters, "dead letters older than DEAD_LETTER_RETENTION deleted"),
            Err(error) => warn(&error, "old dead letters stay for now"),
        }
    }
}

/// The first tick is now.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn tell(reasons: &[ReasonSummary]) {
    for reason in reasons {
        metrics::gauge!(DEAD_LETTERS_WAITING, "reason" => reason.reason.clone()).set(reason.letters as f64);
    }
    let oldest = reasons.iter().filter_map(|reason| reason.oldest).min();
    let age = oldest.map_or(0, |oldest| (Utc::now() - oldest).num_seconds().max(0));
    metrics::gauge!(DEAD_LETTER_OLDEST).set(age as f64);
}

/// A database that is away is said elsewhere, and once.
fn warn(error: &StoreError, what: &str) {
    if error.is_retriable() {
        tracing::debug!(error = %error, cause = error.cause(), "{what}");
    } else {
        tracing::warn!(error = %error, cause = error.cause(), db.sqlstate = error.sqlstate(), "{what}");
    }
}
