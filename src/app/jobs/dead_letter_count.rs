//! Counts the dead letters for metrics.

use std::time::Duration;

use chrono::Utc;

use super::{Failure, Job, Round};
use crate::{
    config::{DatabaseConfig, DeadLetterBounds},
    metrics::{DEAD_LETTER_BOUND_RATIO, DEAD_LETTER_OLDEST, DEAD_LETTERS_WAITING},
    store::dead_letters::{self, ReasonSummary},
};

/// As often as metrics are usually scraped.
const INTERVAL: Duration = Duration::from_secs(15);

pub(super) struct DeadLetterCount {
    pub(super) database: DatabaseConfig,
    pub(super) bounds: DeadLetterBounds,
}

impl Job for DeadLetterCount {
    const NAME: &'static str = "dead_letter_count";

    fn interval(&self) -> Duration {
        INTERVAL
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        let (reasons, usage) = dead_letters::waiting(&self.database).await?;
        set_gauges(&reasons);
        metrics::gauge!(DEAD_LETTER_BOUND_RATIO).set(usage.share_of(self.bounds));
        Ok(Round::Done)
    }
}

fn set_gauges(reasons: &[ReasonSummary]) {
    for reason in reasons {
        metrics::gauge!(DEAD_LETTERS_WAITING, "reason" => reason.reason.clone()).set(reason.letters as f64);
    }
    let oldest = reasons.iter().filter_map(|reason| reason.oldest).min();
    let age = oldest.map_or(0, |oldest| (Utc::now() - oldest).num_seconds().max(0));
    metrics::gauge!(DEAD_LETTER_OLDEST).set(age as f64);
}
