//! The arguments of `sensorpipe dead-letters`, and what becomes of dead letters that nobody works through.

use chrono::{DateTime, Datelike as _, Utc};
use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{DatabaseConfig, GivenSettings, KafkaConfig};
use crate::reading::{Reason, Timestamp};

/// Where no further dead letter is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterBounds {
    /// With so many dead letters,
    pub letters: u64,
    /// or so many bytes of them.
    pub bytes: u64,
}

/// A Kafka topic that has the dead letters, too.
#[derive(Args, Clone, Debug, Default)]
pub struct ForwardingConfig {
    /// Topic that dead letters are copied to, for tools that look there; none where not set
    #[arg(long, env = "DEAD_LETTER_TOPIC")]
    pub dead_letter_topic: Option<String>,
}

impl ForwardingConfig {
    /// The topic that dead letters are forwarded to, for a client that knows one topic; an error where it is the one that is mirrored.
    pub fn kafka(&self, ingest: &KafkaConfig) -> Result<Option<KafkaConfig>, ForwardsToItself> {
        match &self.dead_letter_topic {
            Some(topic) if *topic == ingest.kafka_topic => Err(ForwardsToItself),
            topic => Ok(topic.clone().map(|kafka_topic| KafkaConfig { kafka_topic, ..ingest.clone() })),
        }
    }
}

/// Each dead letter would be read, and set aside, again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "DEAD_LETTER_TOPIC is KAFKA_TOPIC: dead letters would be read again, without end; name another topic"
)]
pub struct ForwardsToItself;

/// What to do with dead letters.
#[derive(Subcommand, Clone, Debug)]
pub enum DeadLettersCommand {
    /// Show dead letters, the newest first
    List(ListDeadLetters),
    /// Show all of one
    Show(ShowDeadLetter),
    /// Show what is beyond the bound and not kept: where Kafka's log has it
    NotKept(ListNotKept),
    /// Store what can be stored by now, exactly once; the others stay, with the reason of today
    Replay(ReplayConfig),
    /// Delete dead letters for good
    Discard(DiscardConfig),
}

/// Which dead letters to show.
#[derive(Args, Clone, Debug)]
pub struct ListDeadLetters {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub filter: DeadLetterFilterConfig,

    /// Most of them
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,

    /// Only those below this id: where the page before this one ended
    #[arg(long, value_name = "ID")]
    pub before: Option<i64>,

    /// A table for people or JSON for machines
    #[arg(long, value_enum, default_value_t = DeadLetterFormat::Text)]
    pub format: DeadLetterFormat,
}

/// The dead letter to show.
#[derive(Args, Clone, Debug)]
pub struct ShowDeadLetter {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,

    /// Its id
    pub id: i64,

    /// Lines for people or JSON for machines
    #[arg(long, value_enum, default_value_t = DeadLetterFormat::Text)]
    pub format: DeadLetterFormat,
}

/// How to show what is not kept.
#[derive(Args, Clone, Debug)]
pub struct ListNotKept {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,

    /// A table for people or JSON for machines
    #[arg(long, value_enum, default_value_t = DeadLetterFormat::Text)]
    pub format: DeadLetterFormat,
}

/// Which dead letters to store after all.
#[derive(Args, Clone, Debug)]
pub struct ReplayConfig {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub shared: GivenSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub filter: DeadLetterFilterConfig,

    /// These
    #[arg(value_name = "ID")]
    pub ids: Vec<i64>,

    /// All there are
    #[arg(long)]
    pub all: bool,

    /// Only say what would come of it
    #[arg(long)]
    pub dry_run: bool,

    /// Lines for people or JSON for machines
    #[arg(long, value_enum, default_value_t = DeadLetterFormat::Text)]
    pub format: DeadLetterFormat,
}

/// Which dead letters to delete.
#[derive(Args, Clone, Debug)]
pub struct DiscardConfig {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub filter: DeadLetterFilterConfig,

    /// These
    #[arg(value_name = "ID")]
    pub ids: Vec<i64>,

    /// All there are
    #[arg(long)]
    pub all: bool,

    /// Needed to delete more than one
    #[arg(long)]
    pub yes: bool,

    /// Lines for people or JSON for machines
    #[arg(long, value_enum, default_value_t = DeadLetterFormat::Text)]
    pub format: DeadLetterFormat,
}

/// Which dead letters are meant; all conditions together.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilterConfig {
    /// Only of this topic
    #[arg(long)]
    pub topic: Option<String>,

    /// Only of this partition
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,

    /// Only those set aside for this reason
    #[arg(long, value_parser = reason())]
    pub reason: Option<Reason>,

    /// Only those whose record's key is this sensor's id
    #[arg(long, value_name = "SENSOR_ID", allow_negative_numbers = true)]
    pub sensor: Option<i32>,

    /// Only those set aside then or later
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<DateTime<Utc>>,

    /// Only those set aside before then
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<DateTime<Utc>>,
}

/// How a command's answer looks.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Its names are the public contract's, which `--help` lists.
fn reason() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)).try_map(|name| name.parse::<Reason>())
}

fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    let time: Timestamp = text.parse().map_err(|error| format!("{error}"))?;
    time.to_datetime()
        .filter(|time| (1..=9_999).contains(&time.year()))
        .ok_or_else(|| "a time is in the years 1 to 9999".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given_words::command;

    #[test]
    fn filters_are_read() {
        let words =
            "list --reason unknown_sensor --partition 3 --since 2026-01-01 --until 1767225601 --sensor -7";
        let DeadLettersCommand::List(list) = command(words).unwrap() else { panic!("{words}") };
        let expected = DeadLetterFilterConfig {
            partition: Some(3),
            reason: Some(Reason::UnknownSensor),
            sensor: Some(-7),
            since: DateTime::from_timestamp(1_767_225_600, 0),
            until: DateTime::from_timestamp(1_767_225_601, 0),
            ..DeadLetterFilterConfig::default()
        };
        assert_eq!(list.filter, expected);
        for words in [
            "list --reason no_reason",
            "list --partition -1",
            "list --limit 0",
            "list --limit 1001",
            "list --since yesterday",
            "list --until 9e14",
            "show",
            "show one",
            "replay one",
        ] {
            assert!(command::<DeadLettersCommand>(words).is_err(), "{words}");
        }
        let error = command::<DeadLettersCommand>("list --reason no_reason").unwrap_err().to_string();
        assert!(error.contains("time_out_of_window"), "{error}");
    }

    #[test]
    fn a_topic_does_not_mirror_itself() {
        let ingest = KafkaConfig {
            kafka_brokers: "b".to_owned(),
            kafka_topic: "readings".to_owned(),
            kafka_group: "g".to_owned(),
            kafka_sensors_topic: None,
        };
        let forwarded = |topic: Option<&str>| {
            let config = ForwardingConfig { dead_letter_topic: topic.map(str::to_owned) };
            config.kafka(&ingest).map(|kafka| kafka.map(|kafka| kafka.kafka_topic))
        };
        assert_eq!(forwarded(None), Ok(None));
        assert_eq!(forwarded(Some("letters")), Ok(Some("letters".to_owned())));
        assert_eq!(forwarded(Some("readings")), Err(ForwardsToItself));
    }
}
