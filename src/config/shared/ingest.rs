use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    config::{RetentionPeriod, RetentionStats, Rollups},
    reading::{Acceptance, OnDuplicate, Timestamp},
};

/// Which readings are accepted, what becomes of a second one for the same sensor and time, and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestConfig {
    /// Earliest reading time that is accepted.
    pub accept_since: Timestamp,
    /// How far ahead of the clock a reading may be.
    pub accept_ahead: Duration,
    /// Which of two readings for the same sensor and time stays.
    pub on_duplicate: OnDuplicate,
    /// How long readings stay: older ones are refused, and workers drop their chunks.
    pub retention: RetentionPeriod,
    /// What becomes of daily statistics whose readings retention drops.
    pub retention_stats: RetentionStats,
    /// Whether statistics of days that are over are kept.
    pub rollups: Rollups,
}

impl Default for IngestConfig {
    fn default() -> Self {
        const YEAR_2000_MS: i64 = 946_684_800_000;
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            accept_since: Timestamp::from_millis(YEAR_2000_MS),
            accept_ahead: DAY,
            on_duplicate: OnDuplicate::Ignore,
            retention: RetentionPeriod(None),
            retention_stats: RetentionStats::Keep,
            rollups: Rollups::On,
        }
    }
}

impl IngestConfig {
    /// Which reading times are accepted.
    pub fn acceptance(&self) -> Acceptance {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Acceptance {
            since: self.accept_since,
            ahead_micros: micros(self.accept_ahead),
            retention_micros: self.retention.0.map(micros),
        }
    }
}

/// What a process runs with, from when it has read it; clones share it. It stays as it is until the process ends.
#[derive(Clone, Debug, Default)]
pub struct RunningSettings(Arc<OnceLock<IngestConfig>>);

impl RunningSettings {
    /// From the start.
    pub fn from_start(config: IngestConfig) -> Self {
        Self(Arc::new(OnceLock::from(config)))
    }

    /// Takes what was read, unless it is known already.
    pub fn learn(&self, config: IngestConfig) -> &IngestConfig {
        self.0.get_or_init(|| config)
    }

    /// None before it was read.
    pub fn get(&self) -> Option<&IngestConfig> {
        self.0.get()
    }
}
