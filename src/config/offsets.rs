//! The arguments of `sensorpipe offsets` and `replay`.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use crate::reading::Timestamp;

/// What to do with the stored offsets.
#[derive(Subcommand, Clone, Debug)]
pub enum OffsetsCommand {
    /// Show each partition's stored offset beside its log, and whether one can go on from the other
    List(ListOffsets),
    /// Show which stored offsets were moved by hand, when, by whom and why
    Moves(ListOffsets),
    /// Give up unread records that retention has taken: go on at the log's start
    AcceptGap(AcceptConfig),
    /// Take a topic that was deleted and recreated for the one it was: read it from its start
    AcceptTopic(AcceptTopic),
    /// Take a log that was cut (`offset_past_end`, `log_diverged`) as it is: read it again from its start
    AcceptTruncation(AcceptConfig),
}

/// How to show it.
#[derive(Args, Clone, Debug)]
pub struct ListOffsets {
    /// A table for people, or JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// The form of a listing.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// For people.
    Table,
    /// For machines.
    Json,
}

/// Partitions whose log is accepted as it is.
#[derive(Args, Clone, Debug)]
pub struct AcceptConfig {
    /// Which partition; may be given again
    #[arg(long = "partition", value_name = "PARTITION", required = true, value_delimiter = ',')]
    pub partitions: Vec<i32>,

    /// Show what would be moved, and move nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Who does it, and why
    #[command(flatten)]
    pub note: MoveNote,
}

/// A topic that is accepted as it is.
#[derive(Args, Clone, Debug)]
pub struct AcceptTopic {
    /// Show what would be moved, and move nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Who does it, and why
    #[command(flatten)]
    pub note: MoveNote,
}

/// What is kept of whoever moves a stored offset.
#[derive(Args, Clone, Debug)]
pub struct MoveNote {
    /// Who moves it
    #[arg(long, env = "USER", default_value = "unknown", value_name = "NAME")]
    pub by: String,

    /// Why, for those who wonder later
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub note: String,
}

/// What to read again.
#[derive(Args, Clone, Debug)]
pub struct ReplayLogConfig {
    /// An offset (with --partition), a time such as 2026-11-01T00:00:00Z, or `earliest`
    #[arg(long, value_name = "OFFSET|TIME|earliest")]
    pub from: ReplayFrom,

    /// Only this partition; may be given again
    #[arg(long = "partition", value_name = "PARTITION", value_delimiter = ',')]
    pub partitions: Vec<i32>,

    /// Do it
    #[arg(long, required_unless_present = "dry_run", conflicts_with = "dry_run")]
    pub yes: bool,

    /// Show what would be read again, and move nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Who does it, and why
    #[command(flatten)]
    pub note: MoveNote,
}

/// Where reading again begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// At the log's start.
    Earliest,
    /// At this offset.
    Offset(i64),
    /// At the first record with this timestamp or a later one: the record's own, not that of a reading in it.
    Time(Timestamp),
}

impl FromStr for ReplayFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "earliest" {
            return Ok(Self::Earliest);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Offset).map_err(|_| "no offset is so large".to_owned());
        }
        // A number that is no offset is not taken for Unix time: too easily meant as the other.
        let is_date = text.as_bytes().get(4) == Some(&b'-');
        let time = is_date.then(|| text.parse().ok()).flatten();
        time.map(Self::Time).ok_or_else(|| {
            "neither an offset, nor a time such as 2026-11-01T00:00:00Z, nor `earliest`".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given_words;

    fn parse(words: &str) -> Result<ReplayLogConfig, clap::Error> {
        given_words::arguments(&words.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn a_replay_begins_at_an_offset_a_time_or_the_start() {
        for (from, expected) in [
            ("earliest", ReplayFrom::Earliest),
            ("0", ReplayFrom::Offset(0)),
            ("9223372036854775807", ReplayFrom::Offset(i64::MAX)),
            ("1970-01-01T00:00:01Z", ReplayFrom::Time(Timestamp::from_millis(1_000))),
        ] {
            assert_eq!(parse(&format!("--from {from} --yes")).unwrap().from, expected);
        }
        for from in ["latest", "-1", "9223372036854775808", "1.5", "yesterday"] {
            assert!(parse(&format!("--from={from} --yes")).is_err(), "{from}");
        }
    }

    #[test]
    fn a_replay_is_asked_for_or_only_shown() {
        assert!(parse("--from earliest").is_err());
        assert!(parse("--from earliest --yes --dry-run").is_err());
        assert!(parse("--from earliest --dry-run").is_ok());
        assert_eq!(parse("--from 5 --yes --partition 1,2 --partition 3").unwrap().partitions, [1, 2, 3]);
    }
}
