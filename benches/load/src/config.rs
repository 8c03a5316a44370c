//! What the load generator sends, where to and how fast.

use std::{fmt, str::FromStr, time::Duration};

use clap::{Args, value_parser};

use sensorpipe::reading::Timestamp;

/// The load generator.
#[derive(Args, Clone, Debug)]
pub struct LoadConfig {
    /// Where the readings go
    #[arg(long, value_enum, default_value_t = LoadTarget::Kafka)]
    pub target: LoadTarget,

    /// Where the api is, for `--target http`
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,

    /// API key with the scope `ingest`, for `--target http`; where not set, none is shown
    #[arg(long, env = "API_KEY", hide_env_values = true)]
    pub api_key: Option<ApiKey>,

    /// Most requests under way at a time, for `--target http`
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..))]
    pub connections: u16,

    /// Sensors that the readings are of, those of type `load`; added where there are fewer
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub sensors: u32,

    /// Readings in a second, sent on schedule whatever the answers take; as fast as possible where not set
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    pub rate: Option<u64>,

    /// Readings in one record, all of one sensor
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=10_000))]
    pub readings_per_record: u64,

    /// How many readings, rounded up to whole records; 100,000 where neither this nor --duration is set
    #[arg(long, conflicts_with = "duration", value_parser = value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// For how long
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// Another number makes other values and other times
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Time of each sensor's first reading; where not set, such that the last ones are of about now
    #[arg(long)]
    pub from: Option<Timestamp>,

    /// Time from one reading of a sensor to its next
    #[arg(long, default_value = "1s", value_parser = parse_step)]
    pub step: Duration,

    /// Wait until all of it is in the database, check that each reading is there once, measure how long it took
    #[arg(long)]
    pub verify: bool,

    /// How long the stored offsets may stand still before --verify gives up
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub verify_timeout: Duration,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// A token that never shows in `Debug`.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// What goes into `Authorization`, for the request alone.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl FromStr for ApiKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self(text.to_owned())).ok_or("it is no token")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// Which way readings go in.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadTarget {
    /// As records into the topic.
    Kafka,
    /// As requests to the api.
    Http,
}

/// Times have microseconds, and two readings of a sensor never have the same.
fn parse_step(text: &str) -> Result<Duration, String> {
    let step = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if step < Duration::from_micros(1) || step > Duration::from_secs(86_400) {
        return Err("from 1us to 1day".to_owned());
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_does_not_show_itself() {
        let key: ApiKey = "sp_secret".parse().unwrap();
        assert_eq!(key.bearer(), "Bearer sp_secret");
        assert!(!format!("{key:?}").contains("secret"));
        assert!("two words".parse::<ApiKey>().is_err());
    }
}
