//! The dead letters that are not kept: counted by reason and range of offsets, so that the log still has them.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{
    batch::{Batch, RejectedOfRecord},
    log::Log,
    metrics::DEAD_LETTERS_NOT_KEPT,
    reading::Reason,
    store::StoreError,
};

/// Readings by partition and reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NotKept(BTreeMap<(i32, &'static str), Range>);

/// Where the readings of one partition and reason are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: i64,
    last: i64,
    letters: i64,
}

impl NotKept {
    fn of(batch: &Batch, rejected: &BTreeMap<u32, RejectedOfRecord<'_>>) -> Self {
        let mut ranges = BTreeMap::new();
        for (record, of_record) in rejected {
            let (partition, offset) = batch.place_of(*record);
            for reason in of_record.reasons() {
                ranges
                    .entry((partition, reason.as_str()))
                    .and_modify(|range: &mut Range| range.add(offset))
                    .or_insert(Range { first: offset, last: offset, letters: 1 });
            }
        }
        Self(ranges)
    }

    /// How many readings.
    pub(super) fn letters(&self) -> i64 {
        self.0.values().map(|range| range.letters).sum()
    }

    /// To be called once the transaction has committed.
    pub(super) fn count(&self) {
        for reason in Reason::ALL.map(Reason::as_str) {
            let of_reason = self.0.iter().filter(|((_, other), _)| *other == reason);
            let letters: i64 = of_reason.map(|(_, range)| range.letters).sum();
            if letters > 0 {
                metrics::counter!(DEAD_LETTERS_NOT_KEPT, "reason" => reason)
                    .increment(letters.cast_unsigned());
            }
        }
    }
}

impl Range {
    fn add(&mut self, offset: i64) {
        self.first = self.first.min(offset);
        self.last = self.last.max(offset);
        self.letters += 1;
    }
}

/// Writes down where these readings are. A range of the last hour grows; later a new one begins, so that there are at
/// most 24 a day of a partition and reason.
///
/// `dead_letter_overflow_totals` counts them since ever: with dead letters and removals they always come to all that were
/// ever dead-lettered. No other writer needs these rows, for each writes its own partitions.
pub(super) async fn note(
    connection: &mut PgConnection,
    log: &Log,
    batch: &Batch,
    rejected: &BTreeMap<u32, RejectedOfRecord<'_>>,
) -> Result<NotKept, StoreError> {
    const SQL: &str = "WITH beyond AS MATERIALIZED (
             SELECT * FROM unnest($3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
                  AS beyond (partition, reason, first_offset, last_offset, letters)
         ), newest AS (
             SELECT DISTINCT ON (partition, reason) partition, reason, kept.first_offset
             FROM dead_letter_overflow AS kept JOIN beyond USING (partition, reason)
             WHERE kept.topic = $1 AND kept.topic_id = $2 AND kept.until > now() - interval '1 hour'
               AND kept.first_offset <= beyond.first_offset
             ORDER BY partition, reason, kept.first_offset DESC
         ), grown AS (
             UPDATE dead_letter_overflow AS kept
             SET last_offset = greatest(kept.last_offset, beyond.last_offset),
                 letters = kept.letters + beyond.letters, until = now()
             FROM newest JOIN beyond USING (partition, reason)
             WHERE kept.topic = $1 AND kept.topic_id = $2 AND kept.partition = newest.partition
               AND kept.reason = newest.reason AND kept.first_offset = newest.first_offset
             RETURNING kept.partition, kept.reason
         ), begun AS (
             INSERT INTO dead_letter_overflow AS kept
                    (topic, topic_id, partition, reason, first_offset, last_offset, letters)
             SELECT $1, $2, partition, reason, first_offset, last_offset, letters
             FROM beyond WHERE (partition, reason) NOT IN (SELECT partition, reason FROM grown)
             ON CONFLICT (topic, topic_id, partition, reason, first_offset)
                 DO UPDATE SET last_offset = greatest(kept.last_offset, excluded.last_offset),
                               letters = kept.letters + excluded.letters, until = now()
         )
         INSERT INTO dead_letter_overflow_totals AS kept (topic, topic_id, partition, letters)
         SELECT $1, $2, partition, sum(letters)::bigint FROM beyond
         GROUP BY partition ORDER BY partition
         ON CONFLICT (topic, topic_id, partition)
             DO UPDATE SET letters = kept.letters + excluded.letters";
    let not_kept = NotKept::of(batch, rejected);
    let ranges = || not_kept.0.iter();
    sqlx::query(SQL)
        .bind(&log.topic)
        .bind(&log.topic_id)
        .bind(ranges().map(|((partition, _), _)| *partition).collect::<Vec<_>>())
        .bind(ranges().map(|((_, reason), _)| *reason).collect::<Vec<_>>())
        .bind(ranges().map(|(_, range)| range.first).collect::<Vec<_>>())
        .bind(ranges().map(|(_, range)| range.last).collect::<Vec<_>>())
        .bind(ranges().map(|(_, range)| range.letters).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map_err(StoreError::new("counting dead letters that are not kept"))?;
    Ok(not_kept)
}
