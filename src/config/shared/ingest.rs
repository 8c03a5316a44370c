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

    /// The same with the longer retention of both, and with the statistics that either of them keeps.
    #[must_use]
    pub fn keeping_what_either_keeps(self, other: &Self) -> Self {
        let periods = (self.retention.0, other.retention.0);
        let retention = match periods {
            (Some(one), Some(other)) => Some(one.max(other)),
            (None, _) | (_, None) => None,
        };
        let retention_stats = match (self.retention_stats, other.retention_stats) {
            (RetentionStats::Drop, RetentionStats::Drop) => RetentionStats::Drop,
            (RetentionStats::Keep, _) | (_, RetentionStats::Keep) => RetentionStats::Keep,
        };
        Self { retention: RetentionPeriod(retention), retention_stats, ..self }
    }
}

/// What a process runs with, from when it has read it; clones share it. It stays as it is until the process ends.
#[derive(Clone, Debug, Default)]
pub struct RunningSettings(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Read from the database.
    stored: OnceLock<IngestConfig>,
    /// What holds while the database has no table of settings.
    assumed: OnceLock<IngestConfig>,
}

impl RunningSettings {
    /// From the start.
    pub fn from_start(config: IngestConfig) -> Self {
        Self(Arc::new(Known { stored: OnceLock::from(config), ..Known::default() }))
    }

    /// Takes what was read, unless it is known already.
    pub fn learn(&self, config: IngestConfig) -> &IngestConfig {
        self.0.stored.get_or_init(|| config)
    }

    /// Runs with `config` until the database has settings.
    pub fn assume(&self, config: IngestConfig) {
        self.0.assumed.get_or_init(|| config);
    }

    /// What was read; none before that.
    pub fn read(&self) -> Option<&IngestConfig> {
        self.0.stored.get()
    }

    /// What was read, or is assumed; none before either.
    pub fn get(&self) -> Option<&IngestConfig> {
        self.read().or_else(|| self.0.assumed.get())
    }
}

#[cfg(test)]
mod tests {
    use RetentionStats::{Drop, Keep};

    use super::*;

    #[test]
    fn what_is_read_takes_the_place_of_what_is_assumed_and_stays() {
        let with = |retention: &str| IngestConfig {
            retention: retention.parse().unwrap(),
            ..IngestConfig::default()
        };
        let running = RunningSettings::default();
        assert_eq!((running.get(), running.read()), (None, None));
        running.assume(with("10days"));
        assert_eq!((running.get(), running.read()), (Some(&with("10days")), None));
        for retention in ["20days", "30days"] {
            assert_eq!(running.learn(with(retention)), &with("20days"));
        }
        assert_eq!(running.get(), Some(&with("20days")));
    }

    #[test]
    fn of_two_the_longer_retention_and_statistics_are_kept() {
        let with = |retention: &str, retention_stats| IngestConfig {
            retention: retention.parse().unwrap(),
            retention_stats,
            ..IngestConfig::default()
        };
        for (one, other, kept) in [
            (with("10days", Drop), with("10days", Drop), with("10days", Drop)),
            (with("10days", Drop), with("20days", Keep), with("20days", Keep)),
            (with("10days", Drop), with("5days", Drop), with("10days", Drop)),
            (with("10days", Keep), with("off", Drop), with("off", Keep)),
        ] {
            assert_eq!(one.keeping_what_either_keeps(&other), kept);
            assert_eq!(other.keeping_what_either_keeps(&one), kept);
        }
    }
}
