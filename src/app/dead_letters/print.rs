//! What the `dead-letters` commands print: for people, or as JSON with the names of the HTTP api.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{
    escape::{bytes, cell, json as escaped_json, line},
    tally::ReplayTally,
};
use crate::{
    config::DeadLetterFormat,
    reading::Reason,
    store::dead_letters::{Discarded, Letter, OverflowRange, Page, WholeDeadLetter},
};

/// Refused dead letters that people are shown.
const REFUSED_SHOWN: usize = 20;

pub(super) fn page(page: &Page, not_kept: &[OverflowRange], format: DeadLetterFormat) {
    let not_kept: i64 = not_kept.iter().map(|range| range.letters).sum();
    match format {
        DeadLetterFormat::Json => {
            print_json(&json!({ "letters": page.letters, "next": page.next, "not_kept": not_kept }));
        }
        DeadLetterFormat::Text => {
            println!(
                "{:>10} {:<20} {:<20} {:<32} {:<16} detail",
                "id", "set aside", "reason", "record", "key"
            );
            for letter in &page.letters {
                println!(
                    "{:>10} {:<20} {:<20} {:<32} {:<16} {}",
                    letter.id,
                    time(letter.received_at),
                    cell(&letter.reason, 20),
                    cell(&place(letter), 32),
                    cell(&letter.key.as_deref().map_or_else(|| "-".to_owned(), bytes), 16),
                    cell(&letter.detail, 80),
                );
            }
            if let Some(next) = page.next {
                println!("there are more: --before {next}");
            }
            if not_kept > 0 {
                println!(
                    "{not_kept} readings came beyond DEAD_LETTER_MAX and are not kept: \
                     `sensorpipe dead-letters not-kept` says where Kafka's log has them"
                );
            }
        }
    }
}

pub(super) fn not_kept(ranges: &[OverflowRange], format: DeadLetterFormat) {
    if format == DeadLetterFormat::Json {
        return print_json(&json!({ "not_kept": ranges }));
    }
    println!(
        "{:<20} {:>9} {:>14} {:>14} {:>10} {:<20} {:<20} until",
        "topic", "partition", "first offset", "last offset", "readings", "reason", "since"
    );
    for range in ranges {
        println!(
            "{:<20} {:>9} {:>14} {:>14} {:>10} {:<20} {:<20} {}",
            cell(&range.topic, 20),
            range.partition,
            range.first_offset,
            range.last_offset,
            range.letters,
            cell(&range.reason, 20),
            time(range.since),
            time(range.until),
        );
    }
}

pub(super) fn letter(whole: &WholeDeadLetter, format: DeadLetterFormat) {
    let WholeDeadLetter { letter, payload, headers } = whole;
    if format == DeadLetterFormat::Json {
        return print_json(&json!(whole));
    }
    let optional_time = |moment: Option<DateTime<Utc>>| moment.map_or_else(|| "-".to_owned(), time);
    let optional_bytes = |some: Option<&[u8]>| some.map_or_else(|| "-".to_owned(), bytes);
    let replay = if letter.replayable {
        "may be stored once what is against it has changed"
    } else {
        "cannot be stored as it is: correct it and send it again"
    };
    for (name, value) in [
        ("id", letter.id.to_string()),
        ("topic", line(&letter.topic)),
        ("topic id", letter.topic_id.as_deref().map_or_else(|| "-".to_owned(), line)),
        ("partition", letter.partition.to_string()),
        ("offset", letter.offset.to_string()),
        ("item", item(letter)),
        ("readings", letter.readings.to_string()),
        ("reason", line(&letter.reason)),
        ("detail", line(&letter.detail)),
        ("replay", replay.to_owned()),
        ("set aside", time(letter.received_at)),
        ("record time", optional_time(letter.record_time)),
        ("mirrored", optional_time(letter.mirrored_at)),
        ("key", optional_bytes(letter.key.as_deref())),
        ("payload", optional_bytes(payload.as_deref())),
    ] {
        println!("{name:<12} {value}");
    }
    for header in headers.as_array().into_iter().flatten() {
        let value = match (header["value"].as_str(), header["base64"].as_str()) {
            (Some(text), _) => line(text),
            (None, Some(encoded)) => format!("base64:{}", line(encoded)),
            (None, None) => "-".to_owned(),
        };
        println!("{:<12} {}: {value}", "header", line(header["key"].as_str().unwrap_or_default()));
    }
}

/// Which of its record's readings a dead letter stands for.
fn item(letter: &Letter) -> String {
    match letter.item {
        Some(item) => item.to_string(),
        None if letter.is_of_many => "many of its readings".to_owned(),
        None => "the whole record".to_owned(),
    }
}

pub(super) fn replayed(tally: &ReplayTally, is_dry_run: bool, format: DeadLetterFormat) {
    if format == DeadLetterFormat::Json {
        return print_json(&json!({
            "dry_run": is_dry_run, "stored": tally.stored, "duplicates": tally.duplicates,
            "refused": tally.refused(), "reasons": tally.refused, "letters": tally.named, "missing": tally.missing,
        }));
    }
    if is_dry_run {
        println!("dry run: nothing is changed");
    }
    if tally.stored + tally.duplicates + tally.refused() == 0 {
        println!("nothing to do");
    } else {
        println!(
            "{} stored, {} duplicates, {} still refused",
            tally.stored,
            tally.duplicates,
            tally.refused()
        );
    }
    for (reason, letters) in &tally.refused {
        let may_pass = reason.parse().is_ok_and(Reason::may_pass_later);
        let hint =
            if may_pass { "" } else { ": cannot be stored as they are; correct them and send them again" };
        println!("  {letters} {reason}{hint}");
    }
    for refused in tally.named.iter().take(REFUSED_SHOWN) {
        println!("{:>10} {:<20} {}", refused.id, refused.reason, line(&refused.detail));
    }
    if tally.refused() > REFUSED_SHOWN as u64 {
        println!("and {} more", tally.refused() - REFUSED_SHOWN as u64);
    }
}

pub(super) fn discarded(all: &Discarded, format: DeadLetterFormat) {
    match format {
        DeadLetterFormat::Json => {
            print_json(&json!({ "discarded": all.letters, "missing": all.missing }));
        }
        DeadLetterFormat::Text => println!("{} discarded", all.letters),
    }
}

fn print_json(value: &Value) {
    println!("{}", escaped_json(&format!("{value:#}")));
}

/// `topic/partition@offset#item`.
fn place(letter: &Letter) -> String {
    let item = letter.item.map_or_else(String::new, |item| format!("#{item}"));
    format!("{}/{}@{}{item}", letter.topic, letter.partition, letter.offset)
}

fn time(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
