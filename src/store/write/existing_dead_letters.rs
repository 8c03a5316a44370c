//! Dead letters that a batch's records have from before, as where the log is read again.
//!
//! Locked before the sensors and the readings, as a replay of dead letters has it: whoever comes second waits for the
//! other one and holds nothing that the other one needs.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::{batch::Batch, log::Log, log::Span, store::StoreError};

/// What a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// A dead letter for each of its refused readings.
    Each,
    /// One for all of them.
    Many,
}

/// By partition and offset. Empty where the writer's role may not look for dead letters and change them.
#[derive(Debug, Default)]
pub(super) struct ExistingDeadLetters(HashMap<(i32, i64), Existing>);

impl ExistingDeadLetters {
    /// What this record has.
    pub(super) fn of(&self, record: (i32, i64)) -> Option<Existing> {
        self.0.get(&record).copied()
    }
}

/// Whether the role may look for dead letters, and change and delete them. A role of somebody's own may only insert.
pub(super) async fn are_permitted(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let are_permitted: bool = sqlx::query_scalar(
        "SELECT has_table_privilege('dead_letters', 'SELECT') AND has_table_privilege('dead_letters', 'DELETE')
            AND has_column_privilege('dead_letters', 'items', 'UPDATE')",
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::new("looking at the rights on dead_letters"))?;
    if !are_permitted {
        tracing::warn!(
            "the role may not look for dead letters: a record that is read again may have two for the same readings \
             (see roles.sql)"
        );
    }
    Ok(are_permitted)
}

/// Locks the dead letters of a batch's records, in the order of their ids. Asked for only where a record is long enough
/// to have had one for many readings; where the log is read for the first time it is a look into an index.
pub(super) async fn lock(
    connection: &mut PgConnection,
    log: &Log,
    batch: &Batch,
) -> Result<ExistingDeadLetters, StoreError> {
    if !batch.may_have_dead_letters_of_many() {
        return Ok(ExistingDeadLetters::default());
    }
    let offsets = |end: fn(&Span) -> i64| batch.spans().iter().map(end).collect::<Vec<_>>();
    let known: Vec<(i32, i64, bool)> = sqlx::query_as(
        r#"WITH locked AS MATERIALIZED (
               SELECT partition, "offset", items IS NOT NULL AS is_of_many FROM dead_letters
               WHERE id = ANY (ARRAY (
                   SELECT id
                   FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS span (partition, first, next)
                   CROSS JOIN LATERAL (
                       SELECT id FROM dead_letters AS letter
                       WHERE topic_id = $1 AND letter.partition = span.partition
                         AND "offset" >= span.first AND "offset" < span.next
                       OFFSET 0) AS letter))
               ORDER BY id FOR UPDATE
           )
           SELECT partition, "offset", bool_or(is_of_many) FROM locked GROUP BY partition, "offset""#,
    )
    .bind(&log.topic_id)
    .bind(batch.spans().iter().map(|span| span.partition).collect::<Vec<_>>())
    .bind(offsets(|span| span.expected))
    .bind(offsets(|span| span.next))
    .fetch_all(connection)
    .await
    .map_err(StoreError::new("locking dead letters of records that are read again"))?;
    let known = known.into_iter().map(|(partition, offset, is_of_many)| {
        ((partition, offset), if is_of_many { Existing::Many } else { Existing::Each })
    });
    Ok(ExistingDeadLetters(known.collect()))
}
