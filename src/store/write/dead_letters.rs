//! The dead letters' part of the transaction.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, Datelike as _, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::letter_overflow::{self, NotKept};
use crate::{
    batch::{Batch, DeadLetter, Header, Rejected},
    config::LetterBounds,
    pipeline::Log,
    reading::Timestamp,
    store::{StoreError, dead_letters::Usage},
};

/// Most dead letters in one statement, so that large payloads do not add up without bound.
const CHUNK: usize = 1_000;

/// Keeps what can never be stored, once: a record that is read again has its letters already. What is beyond the bounds is
/// counted, and the log alone has it.
///
/// How full the table is is asked before each statement. What other writers have not committed is not seen, so each may
/// pass a bound by the letters of one batch.
pub(super) async fn insert(
    connection: &mut PgConnection,
    log: &Log,
    batch: &Batch,
    rejected: &[Rejected],
    bounds: LetterBounds,
) -> Result<NotKept, StoreError> {
    let mut left = rejected;
    while !left.is_empty() {
        let usage =
            Usage::read(connection).await.map_err(StoreError::new("looking how full dead_letters is"))?;
        if usage.reaches(bounds) {
            return letter_overflow::note(connection, log, batch, left).await;
        }
        let (some, others) = left.split_at(left.len().min(CHUNK));
        insert_some(connection, log, &batch.dead_letters(some)).await?;
        left = others;
    }
    Ok(NotKept::default())
}

async fn insert_some(
    connection: &mut PgConnection,
    log: &Log,
    letters: &[DeadLetter],
) -> Result<(), StoreError> {
    sqlx::query(
        r#"INSERT INTO dead_letters (topic, topic_id, partition, "offset", item, reason, detail, key, payload, headers,
                                     record_time, reading_time)
           SELECT $1, $2, * FROM unnest($3::int[], $4::bigint[], $5::int[], $6::text[], $7::text[], $8::bytea[],
                                        $9::bytea[], $10::jsonb[], $11::timestamptz[], $12::timestamptz[])
           ON CONFLICT DO NOTHING"#,
    )
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(letters.iter().map(|letter| letter.partition).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.offset).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.item).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.detail.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.key.as_deref()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.payload.as_deref()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| headers_as_json(&letter.headers)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.record_time.and_then(storable)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.reading_time.and_then(storable)).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map_err(StoreError::new("keeping dead letters"))?;
    Ok(())
}

/// A record's timestamp is whatever its producer said. One that no column holds is no reading's time either, so that it
/// is not missed.
fn storable(time: Timestamp) -> Option<DateTime<Utc>> {
    time.to_datetime().filter(|time| (1..=9_999).contains(&time.year()))
}

/// `[{"key":…,"value":…}]`, or `"base64"` for the value where it is no text that Postgres can hold.
fn headers_as_json(headers: &[Header]) -> Option<Value> {
    let header = |(key, value): &Header| {
        let key = key.replace('\0', "\u{fffd}");
        match value.as_deref().map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => json!({ "key": key, "value": null }),
            Some((Ok(text), _)) if !text.contains('\0') => json!({ "key": key, "value": text }),
            Some((_, bytes)) => json!({ "key": key, "base64": BASE64.encode(bytes) }),
        }
    };
    (!headers.is_empty()).then(|| headers.iter().map(header).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_column_holds_is_none() {
        for (micros, is_kept) in [
            (0, true),
            (1_728_743_460_000_000, true),
            (-62_135_596_800_000_001, false),
            (253_402_300_800_000_000, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(storable(Timestamp::from_micros(micros)).is_some(), is_kept, "{micros}");
        }
    }

    #[test]
    fn headers_keep_every_byte() {
        let headers = [
            ("traceparent".to_owned(), Some(b"00-ab".to_vec())),
            ("none".to_owned(), None),
            ("raw".to_owned(), Some(vec![0, 255])),
        ];
        let expected = json!([
            { "key": "traceparent", "value": "00-ab" },
            { "key": "none", "value": null },
            { "key": "raw", "base64": "AP8=" },
        ]);
        assert_eq!(headers_as_json(&headers), Some(expected));
        assert_eq!(headers_as_json(&[]), None);
    }
}
