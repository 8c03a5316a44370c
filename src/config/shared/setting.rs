use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;

use super::IngestConfig;
use crate::{
    config::{duration_text::duration_text, retention_period::RetentionPeriod},
    reading::{InvalidTimestamp, Timestamp},
};

/// One of the shared settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Earliest reading time that is accepted.
    AcceptSince,
    /// How far ahead of the clock a reading may be.
    AcceptAhead,
    /// Which of two readings for the same sensor and time stays.
    OnDuplicate,
    /// How long readings stay.
    Retention,
    /// What becomes of daily statistics whose readings retention drops.
    RetentionStats,
    /// Whether daily statistics are kept.
    Rollups,
}

/// A value that a setting cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} cannot be {value:?}: {wanted}")]
pub struct InvalidValue {
    setting: Setting,
    value: String,
    wanted: String,
}

impl Setting {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::OnDuplicate,
        Self::Retention,
        Self::RetentionStats,
        Self::Rollups,
        Self::AcceptSince,
        Self::AcceptAhead,
    ];

    /// What the database and `sensorpipe settings` call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptSince => "accept_since",
            Self::AcceptAhead => "accept_ahead",
            Self::OnDuplicate => "on_duplicate",
            Self::Retention => "retention",
            Self::RetentionStats => "retention_stats",
            Self::Rollups => "rollups",
        }
    }

    /// The environment's variable.
    pub fn variable(self) -> String {
        self.name().to_uppercase()
    }

    /// The value in the one form in which it is stored and compared.
    pub fn canonical(self, text: &str) -> Result<String, InvalidValue> {
        let mut config = IngestConfig::default();
        self.set(&mut config, text)?;
        Ok(self.of(&config))
    }

    /// Its value where nothing else is said.
    pub fn default_value(self) -> String {
        self.of(&IngestConfig::default())
    }

    /// Its value in `config`, in canonical form.
    pub fn of(self, config: &IngestConfig) -> String {
        match self {
            Self::AcceptSince => config.accept_since.to_string(),
            Self::AcceptAhead => duration_text(config.accept_ahead),
            Self::OnDuplicate => word(&config.on_duplicate),
            Self::Retention => config.retention.to_string(),
            Self::RetentionStats => word(&config.retention_stats),
            Self::Rollups => word(&config.rollups),
        }
    }

    /// Sets it in `config`.
    pub fn set(self, config: &mut IngestConfig, text: &str) -> Result<(), InvalidValue> {
        let set = match self {
            Self::AcceptSince => earliest_time(text).map(|since| config.accept_since = since),
            Self::AcceptAhead => duration_ahead(text).map(|ahead| config.accept_ahead = ahead),
            Self::OnDuplicate => one_of(text).map(|policy| config.on_duplicate = policy),
            Self::Retention => period_of_readings(text).map(|period| config.retention = period),
            Self::RetentionStats => one_of(text).map(|stats| config.retention_stats = stats),
            Self::Rollups => one_of(text).map(|rollups| config.rollups = rollups),
        };
        set.map_err(|wanted| InvalidValue { setting: self, value: text.to_owned(), wanted })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|setting| setting.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no shared setting {text:?}; there are {names}")
        })
    }
}

/// A setting and the value that it is to have: `on_duplicate=overwrite`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which one.
    pub setting: Setting,
    /// In canonical form.
    pub value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) =
            text.split_once('=').ok_or("NAME=VALUE is wanted, as in on_duplicate=overwrite")?;
        let setting: Setting = name.parse()?;
        let value = setting.canonical(value).map_err(|error| error.to_string())?;
        Ok(Self { setting, value })
    }
}

/// A setting as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// Which one; a later version may have others.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Since when.
    pub set_at: DateTime<Utc>,
    /// By whom.
    pub set_by: String,
}

impl StoredValue {
    /// The one of a setting, where the database has it.
    pub fn of(stored: &[Self], setting: Setting) -> Option<&Self> {
        stored.iter().find(|stored| stored.name == setting.name())
    }

    /// One that alice set at the epoch.
    #[cfg(test)]
    pub(crate) fn by_alice(name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        Self { name, value, set_at: DateTime::UNIX_EPOCH, set_by: "alice".to_owned() }
    }

    /// Who set it and when, for people.
    pub(super) fn origin(&self) -> String {
        let Self { set_at, set_by, .. } = self;
        format!("set {} by {set_by}", set_at.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// A time that has a text form, so that it can be stored: one of the years 0000 to 9999.
fn earliest_time(text: &str) -> Result<Timestamp, String> {
    let time: Timestamp = text.parse().map_err(|error: InvalidTimestamp| error.to_string())?;
    if time.to_string().parse() == Ok(time) {
        Ok(time)
    } else {
        Err("a time in the years 0000 to 9999 is wanted, such as 2000-01-01T00:00:00Z".to_owned())
    }
}

/// At least a day: chunks are dropped by whole days, and a slip of the unit (`90m` for 90 days) would drop all of them.
/// Further ahead lie times that have no four-digit year, which clients cannot write.
fn duration_ahead(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(36_525 * 86_400);
    match humantime::parse_duration(text) {
        Ok(ahead) if ahead > LONGEST => Err("at most 100 years".to_owned()),
        Ok(ahead) => Ok(ahead),
        Err(error) => Err(format!("{error}; a duration such as 1day")),
    }
}

fn period_of_readings(text: &str) -> Result<RetentionPeriod, String> {
    const SHORTEST: Duration = Duration::from_secs(86_400);
    let period: RetentionPeriod = text.parse()?;
    if period.0.is_some_and(|period| period < SHORTEST) {
        return Err("at least 1day, or `off` to keep them for ever".to_owned());
    }
    Ok(period)
}

fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default()
}

fn one_of<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let words: Vec<String> = T::value_variants().iter().map(word).collect();
        format!("{} is wanted", words.join(" or "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_form() {
        for (text, canonical) in [
            ("retention=90d", "retention=90days"),
            ("retention=24h", "retention=1day"),
            ("retention=1day 12h", "retention=36h"),
            ("retention=off", "retention=off"),
            ("accept_since=2024-10-12", "accept_since=2024-10-12T00:00:00Z"),
            ("accept_ahead=90s", "accept_ahead=90s"),
            ("accept_ahead=1500ms", "accept_ahead=1s 500ms"),
            ("on_duplicate=overwrite", "on_duplicate=overwrite"),
            ("retention_stats=drop", "retention_stats=drop"),
            ("rollups=off", "rollups=off"),
        ] {
            let Assignment { setting, value } = text.parse().unwrap();
            assert_eq!(format!("{setting}={value}"), canonical);
            assert_eq!(setting.canonical(&value), Ok(value));
        }
    }

    #[test]
    fn whatever_is_accepted_can_be_read_again() {
        let times = [
            "1728743340",
            "1728743340.123456",
            "-1.5",
            "0",
            "0000-01-01",
            "9999-12-31T23:59:59.999999Z",
            "1728743340000000",
            "-99999999999999",
            "99999999999999",
            "0000-01-01T00:00+12:00",
            "2024-10-12T14:29:00.0000009",
        ];
        let durations =
            ["0s", "1ns", "90m", "1month", "1year 1ns", "100years", "500000000000years", "9999999999h 1ms"];
        let mut accepted = 0;
        for (settings, texts) in [
            (&[Setting::AcceptSince][..], &times[..]),
            (&[Setting::AcceptAhead, Setting::Retention], &durations),
        ] {
            for (setting, text) in
                settings.iter().flat_map(|setting| texts.iter().map(move |text| (setting, text)))
            {
                if let Ok(canonical) = setting.canonical(text) {
                    assert_eq!(setting.canonical(&canonical), Ok(canonical), "{setting} {text}");
                    accepted += 1;
                }
            }
        }
        assert!(accepted >= 14, "{accepted}");
        for text in ["1728743340000000", "-99999999999999", "0000-01-01T00:00+12:00"] {
            let error = Setting::AcceptSince.canonical(text).unwrap_err().to_string();
            assert!(error.contains("a time in the years 0000 to 9999"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (text, said) in [
            ("on_duplicate", "NAME=VALUE"),
            (
                "on_duplicates=ignore",
                "there is no shared setting \"on_duplicates\"; there are on_duplicate, ",
            ),
            ("on_duplicate=keep", "on_duplicate cannot be \"keep\": ignore or overwrite is wanted"),
            ("retention=soon", "retention cannot be \"soon\": "),
            ("retention=90m", "retention cannot be \"90m\": at least 1day, or `off`"),
            ("retention=0s", "retention cannot be \"0s\": at least 1day, or `off`"),
            ("accept_since=yesterday", "accept_since cannot be \"yesterday\": "),
            ("accept_ahead=8000years", "accept_ahead cannot be \"8000years\": at most 100 years"),
            ("rollups=", "rollups cannot be \"\": on or off is wanted"),
        ] {
            let error = text.parse::<Assignment>().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_defaults_are_canonical() {
        let defaults = Setting::ALL.map(Setting::default_value);
        assert_eq!(defaults, ["ignore", "off", "keep", "on", "2000-01-01T00:00:00Z", "1day"]);
    }
}
