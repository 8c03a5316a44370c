use std::fmt;

use clap::Args;

use super::{IngestConfig, InvalidValue, Setting, StoredValue};

/// The shared settings that this process is given. What is not given it has from the database, or else is the default.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Shared settings (best set once: sensorpipe settings)")]
pub struct GivenSettings {
    /// Earliest reading time that is accepted; 2000-01-01T00:00:00Z by default
    #[arg(long, env = "ACCEPT_SINCE", value_parser = |text: &str| Setting::AcceptSince.canonical(text))]
    accept_since: Option<String>,

    /// How far ahead of the clock a reading may be; 1day by default
    #[arg(long, env = "ACCEPT_AHEAD", value_parser = |text: &str| Setting::AcceptAhead.canonical(text))]
    accept_ahead: Option<String>,

    /// Which of two readings for the same sensor and time stays: the first (the default) or the last one
    #[arg(long, env = "ON_DUPLICATE", value_parser = ["ignore", "overwrite"])]
    on_duplicate: Option<String>,

    /// How long readings stay: older ones are refused, and workers drop their chunks; `off`, for ever, by default
    #[arg(long, env = "RETENTION", value_parser = |text: &str| Setting::Retention.canonical(text))]
    retention: Option<String>,

    /// What becomes of daily statistics whose readings RETENTION drops; they are kept by default
    #[arg(long, env = "RETENTION_STATS", value_parser = ["keep", "drop"])]
    retention_stats: Option<String>,

    /// Keep statistics of days that are over, as is the default
    #[arg(long, env = "ROLLUPS", value_parser = ["on", "off"])]
    rollups: Option<String>,
}

impl GivenSettings {
    /// Those that are given, in canonical form.
    pub fn values(&self) -> impl Iterator<Item = (Setting, &str)> {
        Setting::ALL.into_iter().filter_map(|setting| Some((setting, self.value(setting)?)))
    }

    fn value(&self, setting: Setting) -> Option<&str> {
        match setting {
            Setting::AcceptSince => self.accept_since.as_deref(),
            Setting::AcceptAhead => self.accept_ahead.as_deref(),
            Setting::OnDuplicate => self.on_duplicate.as_deref(),
            Setting::Retention => self.retention.as_deref(),
            Setting::RetentionStats => self.retention_stats.as_deref(),
            Setting::Rollups => self.rollups.as_deref(),
        }
    }

    /// What the process runs with, where the database has `stored`; an error where it was given something else. Without a
    /// table, in a schema from before there was one, what is given holds.
    pub fn resolve(&self, stored: Option<&[StoredValue]>) -> Result<IngestConfig, SettingsError> {
        let Some(stored) = stored else {
            return with_values(self.values());
        };
        let config = from_database(stored)?;
        let differing: Vec<Mismatch> = self
            .values()
            .filter(|(setting, given)| setting.of(&config) != *given)
            .map(|(setting, given)| Mismatch {
                setting,
                given: given.to_owned(),
                effective: setting.of(&config),
                stored: StoredValue::of(stored, setting).cloned(),
            })
            .collect();
        if differing.is_empty() { Ok(config) } else { Err(SettingsError::Mismatch(Mismatches(differing))) }
    }
}

/// What the database says, with the defaults of what it does not say.
pub fn from_database(stored: &[StoredValue]) -> Result<IngestConfig, SettingsError> {
    // A later version may have settings that this one does not know.
    with_values(stored.iter().filter_map(|stored| Some((stored.name.parse().ok()?, stored.value.as_str()))))
}

/// These values, and the defaults of the others.
fn with_values<'v>(
    values: impl IntoIterator<Item = (Setting, &'v str)>,
) -> Result<IngestConfig, SettingsError> {
    let mut config = IngestConfig::default();
    for (setting, value) in values {
        setting.set(&mut config, value).map_err(SettingsError::Invalid)?;
    }
    Ok(config)
}

/// Why a process cannot run with what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The database has other values.
    #[error("{0}")]
    Mismatch(Mismatches),
    /// The database has a value that this version cannot use.
    #[error("the settings in the database cannot be used: {0}; run `sensorpipe settings set`")]
    Invalid(InvalidValue),
}

/// Settings that were given other values than the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatches(Vec<Mismatch>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mismatch {
    setting: Setting,
    given: String,
    effective: String,
    /// None where that is the default.
    stored: Option<StoredValue>,
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Mismatch { setting, given, effective, stored }) in self.0.iter().enumerate() {
            let variable = setting.variable();
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{variable} is {given} for this process, but {effective} in the database (")?;
            match stored {
                Some(stored) => f.write_str(&stored.origin())?,
                None => f.write_str("the default")?,
            }
            // A value may have a space, and is one word for a shell.
            let quote = if given.contains(' ') { "'" } else { "" };
            write!(
                f,
                "): unset {variable}, or run `sensorpipe settings set {quote}{setting}={given}{quote}` and restart every process"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::given_words, reading::OnDuplicate};

    fn given(flags: &[&str]) -> GivenSettings {
        given_words::arguments(flags).unwrap()
    }

    fn stored(name: &str, value: &str) -> StoredValue {
        let set_at = "2026-11-30T09:00:00Z".parse().unwrap();
        StoredValue { set_at, ..StoredValue::by_alice(name, value) }
    }

    #[test]
    fn what_is_not_given_comes_from_the_database() {
        let overwrite = [stored("on_duplicate", "overwrite"), stored("of_a_later_version", "7")];
        let config = given(&[]).resolve(Some(&overwrite)).unwrap();
        assert_eq!(config, IngestConfig { on_duplicate: OnDuplicate::Overwrite, ..IngestConfig::default() });
        assert_eq!(given(&["--on-duplicate", "overwrite"]).resolve(Some(&overwrite)), Ok(config));
        assert_eq!(given(&["--accept-ahead", "24h"]).resolve(Some(&[])), Ok(IngestConfig::default()));
    }

    #[test]
    fn what_is_given_otherwise_is_refused_with_both_values_and_the_way_out() {
        let flags = ["--on-duplicate", "ignore", "--retention", "90d"];
        let error =
            given(&flags).resolve(Some(&[stored("on_duplicate", "overwrite")])).unwrap_err().to_string();
        for part in [
            "ON_DUPLICATE is ignore for this process, but overwrite in the database (set 2026-11-30T09:00:00Z by alice)",
            "`sensorpipe settings set on_duplicate=ignore` and restart every process; ",
            "RETENTION is 90days for this process, but off in the database (the default): unset RETENTION, ",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let error = given(&["--accept-ahead", "1500ms"]).resolve(Some(&[])).unwrap_err().to_string();
        assert!(error.contains("`sensorpipe settings set 'accept_ahead=1s 500ms'`"), "{error}");
    }

    #[test]
    fn without_a_table_what_is_given_holds() {
        let config = given(&["--on-duplicate", "overwrite"]).resolve(None).unwrap();
        assert_eq!(config.on_duplicate, OnDuplicate::Overwrite);
    }

    #[test]
    fn a_stored_value_that_cannot_be_used_is_an_error() {
        let error = given(&[]).resolve(Some(&[stored("rollups", "weekly")])).unwrap_err().to_string();
        assert!(error.contains("rollups cannot be \"weekly\""), "{error}");
    }
}
