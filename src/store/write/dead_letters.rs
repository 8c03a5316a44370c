//! The dead letters' part of the transaction.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::letter_overflow::{self, NotKept};
use crate::{
    batch::{Batch, DeadLetter, Header, RECORD_LETTERS_MAX, Rejected},
    config::LetterBounds,
    pipeline::Log,
    store::{
        StoreError,
        dead_letters::{Part, Usage},
        postgres_time::storable,
    },
};

/// So many dead letters are enough for a statement, or so many bytes of them: a record's own are not parted, so there may
/// be twice as many.
const PORTION: usize = RECORD_LETTERS_MAX;
const PORTION_BYTES: usize = 8 << 20;
/// A batch whose dead letters take longer is cut, where it has more than one record. A thousand take some 50 ms.
const LETTERS_TIME: Duration = Duration::from_secs(10);

/// What came of a batch's dead letters.
#[derive(Debug)]
pub(super) enum Inserted {
    /// All are in the table, but for those that are beyond the bounds.
    All(NotKept),
    /// It has taken too long: this share of the batch's records has its letters.
    TooSlow(f64),
}

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
) -> Result<Inserted, StoreError> {
    let started = Instant::now();
    let mut left = batch.rejected_by_record(rejected);
    let records = left.len();
    while !left.is_empty() {
        if started.elapsed() > LETTERS_TIME && batch.record_count() > 1 {
            return Ok(Inserted::TooSlow((records - left.len()) as f64 / records as f64));
        }
        let usage =
            Usage::read(connection).await.map_err(StoreError::new("looking how full dead_letters is"))?;
        if usage.reaches(bounds) {
            return letter_overflow::note(connection, log, batch, &left).await.map(Inserted::All);
        }
        let (mut letters, mut bytes) = (Vec::new(), 0);
        while letters.len() < PORTION
            && bytes < PORTION_BYTES
            && let Some((record, rejected)) = left.pop_first()
        {
            let of_record = batch.letters_of_record(record, &rejected);
            bytes += of_record.iter().map(DeadLetter::byte_count).sum::<usize>();
            letters.extend(of_record);
        }
        insert_some(connection, log, &letters).await?;
        for letter in letters.iter().filter(|letter| letter.many.is_some()) {
            insert_many(connection, log, letter).await?;
        }
    }
    Ok(Inserted::All(NotKept::default()))
}

/// Those of one reading each.
async fn insert_some(
    connection: &mut PgConnection,
    log: &Log,
    letters: &[DeadLetter],
) -> Result<(), StoreError> {
    let letters: Vec<&DeadLetter> = letters.iter().filter(|letter| letter.many.is_none()).collect();
    if letters.is_empty() {
        return Ok(());
    }
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

/// One of many readings of a record.
async fn insert_many(
    connection: &mut PgConnection,
    log: &Log,
    letter: &DeadLetter,
) -> Result<(), StoreError> {
    let Some(many) = &letter.many else { return Ok(()) };
    let part = Part::of(many);
    let inserted = sqlx::query(
        r#"INSERT INTO dead_letters (topic, topic_id, partition, "offset", reason, detail, key, payload, headers,
                                     record_time, readings, items, untimed_items, reading_times)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
           ON CONFLICT DO NOTHING"#,
    )
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(letter.partition)
    .bind(letter.offset)
    .bind(letter.reason.as_str())
    .bind(&letter.detail)
    .bind(&letter.key)
    .bind(&letter.payload)
    .bind(headers_as_json(&letter.headers))
    .bind(letter.record_time.and_then(storable))
    .bind(part.readings)
    .bind(&part.items)
    .bind(&part.untimed_items)
    .bind(&part.reading_times)
    .execute(&mut *connection)
    .await
    .map_err(StoreError::new("keeping a dead letter of many readings"))?;
    if inserted.rows_affected() == 0 {
        bring_up_to_date(connection, log, letter, &part).await?;
    }
    Ok(())
}

/// Of a record that is read again, what is refused now is all that its letter stands for: the others are stored.
async fn bring_up_to_date(
    connection: &mut PgConnection,
    log: &Log,
    letter: &DeadLetter,
    part: &Part,
) -> Result<(), StoreError> {
    let doing = "bringing a dead letter of many readings up to date";
    // A role of somebody's own may only insert.
    let is_permitted: bool = sqlx::query_scalar(
        "SELECT has_column_privilege('dead_letters', 'topic_id', 'SELECT')
            AND has_column_privilege('dead_letters', 'items', 'UPDATE')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(StoreError::new(doing))?;
    if !is_permitted {
        tracing::warn!(
            kafka.partition = letter.partition,
            offset = letter.offset,
            "a record's dead letter stands for what was refused before: the role may not update it (see roles.sql)"
        );
        return Ok(());
    }
    sqlx::query(
        r#"UPDATE dead_letters
           SET reason = $4, detail = $5, readings = $6, items = $7, untimed_items = $8, reading_times = $9,
               mirrored_at = NULL
           WHERE topic_id = $1 AND partition = $2 AND "offset" = $3 AND item IS NULL"#,
    )
    .bind(&log.topic_id)
    .bind(letter.partition)
    .bind(letter.offset)
    .bind(letter.reason.as_str())
    .bind(&letter.detail)
    .bind(part.readings)
    .bind(&part.items)
    .bind(&part.untimed_items)
    .bind(&part.reading_times)
    .execute(connection)
    .await
    .map_err(StoreError::new(doing))?;
    Ok(())
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
