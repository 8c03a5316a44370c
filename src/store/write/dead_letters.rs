//! The dead letters' part of the transaction.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::{
    dead_letter_bound::{self, NotKept},
    existing_dead_letters::{Existing, ExistingDeadLetters},
};
use crate::{
    batch::{Batch, DeadLetter, Header, RECORD_DEAD_LETTERS_MAX, Rejected},
    config::DeadLetterBounds,
    log::Log,
    store::{StoreError, dead_letter_part::Part, dead_letter_usage::Usage, postgres_time::storable},
};

/// So many dead letters are enough for a statement, or so many bytes of them: a record's own are not parted, so there may
/// be twice as many.
const PORTION: usize = RECORD_DEAD_LETTERS_MAX;
const PORTION_BYTES: usize = 8 << 20;
/// A batch whose dead letters take longer is cut, where it has more than one record. A thousand take some 50 ms.
const LETTERS_TIME: Duration = Duration::from_secs(10);

macro_rules! insert_many {
    () => {
        r#"INSERT INTO dead_letters (topic, topic_id, partition, "offset", reason, detail, key, payload, headers,
                                     record_time, readings, items, untimed_items, reading_times)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"#
    };
}

/// What came of a batch's dead letters.
#[derive(Debug)]
pub(super) enum Inserted {
    /// All are in the table, but for those that are beyond the bounds.
    All(NotKept),
    /// It has taken too long: this share of the batch's records has its letters.
    TooSlow(f64),
}

/// What dead letters are kept by.
#[derive(Clone, Copy)]
pub(super) struct Keeping<'a> {
    /// How many.
    pub(super) bounds: DeadLetterBounds,
    /// What the batch's records have from before, locked.
    pub(super) known: &'a ExistingDeadLetters,
    /// Whether the writer's role may change a dead letter that is there.
    pub(super) may_update: bool,
}

/// Keeps what can never be stored, once: a record that is read again has its dead letters already. One that has a dead letter of
/// many readings keeps having one, however few are refused now; one that had a dead letter for each gets one of many where
/// these are too many now. What is beyond the bounds is counted, and the log alone has it.
///
/// How full the table is is asked before each statement. What other writers have not committed is not seen, so each may
/// pass a bound by the dead letters of one batch.
pub(super) async fn insert(
    connection: &mut PgConnection,
    log: &Log,
    batch: &Batch,
    rejected: &[Rejected],
    Keeping { bounds, known, may_update }: Keeping<'_>,
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
            return dead_letter_bound::note(connection, log, batch, &left).await.map(Inserted::All);
        }
        let (mut letters, mut bytes) = (Vec::new(), 0);
        while letters.len() < PORTION
            && bytes < PORTION_BYTES
            && let Some((record, rejected)) = left.pop_first()
        {
            let place = batch.place_of(record);
            let of_record = match known.of(place) {
                Some(Existing::Many) if !rejected.is_whole_record() => {
                    vec![batch.dead_letter_for_all(record, &rejected)]
                }
                Some(_) | None => batch.dead_letters_of_record(record, &rejected),
            };
            if known.of(place) == Some(Existing::Each) && of_record.iter().any(|letter| letter.many.is_some())
            {
                delete_each(connection, log, place).await?;
            }
            bytes += of_record.iter().map(DeadLetter::byte_count).sum::<usize>();
            letters.extend(of_record);
        }
        insert_some(connection, log, &letters).await?;
        for letter in letters.iter().filter(|letter| letter.many.is_some()) {
            insert_many(connection, log, letter, may_update).await?;
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

/// One of many readings of a record; of a record that is read again, what is refused now is all that it stands for: the
/// others are stored.
async fn insert_many(
    connection: &mut PgConnection,
    log: &Log,
    letter: &DeadLetter,
    may_update: bool,
) -> Result<(), StoreError> {
    let Some(many) = &letter.many else { return Ok(()) };
    let part = Part::of(many);
    let statement = if may_update { INSERT_OR_UPDATE_MANY } else { INSERT_MANY };
    let kept = sqlx::query(statement)
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
    if kept.rows_affected() == 0 {
        tracing::warn!(
            kafka.partition = letter.partition,
            offset = letter.offset,
            "a record's dead letter stands for what was refused before: the role may not update it (see roles.sql)"
        );
    }
    Ok(())
}

const INSERT_MANY: &str = concat!(insert_many!(), " ON CONFLICT DO NOTHING");
const INSERT_OR_UPDATE_MANY: &str = concat!(
    insert_many!(),
    r#" ON CONFLICT (topic_id, partition, "offset", coalesce(item, -1)) WHERE topic_id IS NOT NULL DO UPDATE
        SET reason = excluded.reason, detail = excluded.detail, readings = excluded.readings, items = excluded.items,
            untimed_items = excluded.untimed_items, reading_times = excluded.reading_times, mirrored_at = NULL"#
);

/// Deletes a record's dead letters of one reading each, which one of many takes the place of.
async fn delete_each(
    connection: &mut PgConnection,
    log: &Log,
    (partition, offset): (i32, i64),
) -> Result<(), StoreError> {
    sqlx::query(
        r#"DELETE FROM dead_letters
           WHERE topic_id = $1 AND partition = $2 AND "offset" = $3 AND item IS NOT NULL"#,
    )
    .bind(&log.topic_id)
    .bind(partition)
    .bind(offset)
    .execute(connection)
    .await
    .map_err(StoreError::new("deleting dead letters that one of many replaces"))?;
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
