//! The offsets' part of the transaction.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{
    batch::{Batch, Tally},
    log::Log,
    store::StoreError,
};

/// Moves each partition's stored offset where it is still the expected one; says which ones it was.
///
/// The counts assume what is usual: every row stored, nothing there already. The rows are locked in the order of
/// partitions, and a lock that is waited for is followed by a look at the row as it is then.
pub(super) async fn compare_and_set(
    connection: &mut PgConnection,
    log: &Log,
    batch: &Batch,
) -> Result<Vec<i32>, StoreError> {
    let assumed = assumed_tallies(batch);
    let spans = batch.spans();
    let counts = |count: fn(&Tally) -> i64| -> Vec<i64> {
        spans.iter().map(|s| count(&assumed[&s.partition])).collect()
    };
    sqlx::query_scalar(
        "WITH held AS MATERIALIZED (
             SELECT partition FROM ingest_offsets
             WHERE cluster_id = $1 AND topic = $2 AND partition = ANY ($4) ORDER BY partition FOR UPDATE
         )
         UPDATE ingest_offsets AS kept
         SET next_offset = wanted.next_offset, stored = kept.stored + wanted.stored,
             dead_lettered = kept.dead_lettered + wanted.dead_lettered, given_times = wanted.given_times,
             last_record = wanted.last_record, updated_at = now()
         FROM held
         JOIN unnest($4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[], $10::bytea[])
              AS wanted (partition, expected, next_offset, stored, dead_lettered, given_times, last_record)
              USING (partition)
         WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.topic_id = $3
           AND kept.partition = held.partition AND kept.next_offset = wanted.expected
         RETURNING kept.partition",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(spans.iter().map(|span| span.partition).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| span.expected).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| span.next).collect::<Vec<_>>())
    .bind(counts(|tally| tally.stored))
    .bind(counts(|tally| tally.dead_lettered))
    .bind(spans.iter().map(|span| batch.given_times(span.partition)).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| batch.last_record(span.partition)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(StoreError::new("moving the stored offsets"))
}

/// Makes the counts right where they are not what [`compare_and_set`] assumed.
pub(super) async fn correct_counts(
    connection: &mut PgConnection,
    log: &Log,
    batch: &Batch,
    tallies: &BTreeMap<i32, Tally>,
) -> Result<(), StoreError> {
    let assumed = assumed_tallies(batch);
    let wrong: Vec<(i32, Tally)> = tallies
        .iter()
        .map(|(&partition, &tally)| (partition, tally - assumed[&partition]))
        .filter(|(_, difference)| *difference != Tally::default())
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE ingest_offsets AS kept
         SET stored = kept.stored + difference.stored, duplicates = kept.duplicates + difference.duplicates,
             dead_lettered = kept.dead_lettered + difference.dead_lettered
         FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
              AS difference (partition, stored, duplicates, dead_lettered)
         WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.partition = difference.partition",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(wrong.iter().map(|(partition, _)| *partition).collect::<Vec<_>>())
    .bind(wrong.iter().map(|(_, tally)| tally.stored).collect::<Vec<_>>())
    .bind(wrong.iter().map(|(_, tally)| tally.duplicates).collect::<Vec<_>>())
    .bind(wrong.iter().map(|(_, tally)| tally.dead_lettered).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map_err(StoreError::new("correcting the counts"))?;
    Ok(())
}

fn assumed_tallies(batch: &Batch) -> BTreeMap<i32, Tally> {
    let mut tallies: BTreeMap<i32, Tally> =
        batch.spans().iter().map(|span| (span.partition, Tally::default())).collect();
    for row in batch.rows() {
        tallies.entry(batch.partition_of(row)).or_default().stored += 1;
    }
    for (partition, _) in batch.reasons_of(batch.rejected()) {
        tallies.entry(partition).or_default().dead_lettered += 1;
    }
    tallies
}
