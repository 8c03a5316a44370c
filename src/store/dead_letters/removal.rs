//! Dead letters that go: counted in the transaction that deletes them, whoever does it and why.

use sqlx::{Connection, Executor, PgConnection, Postgres, QueryBuilder};

use super::{Part, Portion, portion::Candidates};
use crate::{
    metrics::DEAD_LETTER_REMOVALS,
    store::{StoreError, pool::Pool},
};

const DOING: &str = "discarding dead letters";

/// Why a dead letter went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its reading is stored, or is a duplicate.
    Replayed,
    /// Somebody said so.
    Discarded,
    /// It was older than they are kept.
    Expired,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
            Self::Expired => "expired",
        }
    }

    /// To be called once the transaction has committed.
    pub(super) fn count(self, readings: u64) {
        metrics::counter!(DEAD_LETTER_REMOVALS, "outcome" => self.as_str()).increment(readings);
    }
}

/// What has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) letters: u64,
    /// That they stood for.
    pub(super) readings: u64,
}

/// What came of a portion that was to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Dead letters that are gone.
    pub letters: u64,
    /// Dead letters that were asked for by their ids and were not there.
    pub missing: Vec<i64>,
    /// Where to go on; none at the end.
    pub next: Option<i64>,
}

/// Deletes a portion of dead letters for good, in one transaction.
pub async fn discard(pool: &Pool, portion: Portion) -> Result<Discarded, StoreError> {
    let (discarded, readings) = pool
        .run(DOING, move |connection| {
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                begin(&mut transaction).await?;
                let mut candidates = portion.candidates(&mut transaction).await?;
                let ids = lock(&mut transaction, &portion, &mut candidates).await?;
                let Removed { letters, readings } =
                    remove(&mut transaction, &ids, Outcome::Discarded).await?;
                transaction.commit().await?;
                let Candidates { missing, next, .. } = candidates;
                Ok((Discarded { letters, missing, next }, readings))
            })
        })
        .await?;
    Outcome::Discarded.count(readings);
    Ok(discarded)
}

/// What a transaction over dead letters begins with, whatever the database's own defaults are: a statement sees what was
/// committed before it took its locks, nobody is waited for without end, and a process that is frozen holds nothing for
/// long.
pub(super) async fn begin(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s';
             SET LOCAL idle_in_transaction_session_timeout = '10s'",
        )
        .await
        .map(drop)
}

async fn lock(
    connection: &mut PgConnection,
    portion: &Portion,
    candidates: &mut Candidates,
) -> Result<Vec<i64>, sqlx::Error> {
    let mut query: QueryBuilder<'_, Postgres> =
        QueryBuilder::new("SELECT id FROM dead_letters WHERE id = ANY (");
    query.push_bind(candidates.ids.clone()).push(")");
    // A dead letter that a replay has given another reason meanwhile is not one that was meant.
    portion.selection.push_to(&mut query);
    query.push(" ORDER BY id FOR UPDATE");
    let ids: Vec<i64> = query.build_query_scalar().fetch_all(connection).await?;
    portion.selection.note_gone(candidates, &ids);
    Ok(ids)
}

/// Deletes dead letters that this transaction has locked, and counts their readings. The last thing that a transaction does,
/// for the counts are few rows that everybody needs.
pub(super) async fn remove(
    connection: &mut PgConnection,
    ids: &[i64],
    outcome: Outcome,
) -> Result<Removed, sqlx::Error> {
    remove_beside(connection, ids, &[], outcome).await
}

/// The same where readings have gone from dead letters that stay, too: their ids, and how many readings went from each. All
/// is counted by one statement, in the order of partitions, so that of two transactions one waits for the other.
pub(super) async fn remove_beside(
    connection: &mut PgConnection,
    ids: &[i64],
    parts: &[(i64, i32)],
    outcome: Outcome,
) -> Result<Removed, sqlx::Error> {
    if ids.is_empty() && parts.is_empty() {
        return Ok(Removed::default());
    }
    let (letters, readings): (i64, i64) = sqlx::query_as(
        "WITH gone AS (
             DELETE FROM dead_letters WHERE id = ANY ($1)
             RETURNING topic, coalesce(topic_id, '') AS topic_id, partition, readings
         ), gone_or_smaller AS (
             SELECT topic, topic_id, partition, readings FROM gone
             UNION ALL
             SELECT topic, coalesce(topic_id, ''), partition, smaller.readings
             FROM unnest($3::bigint[], $4::int[]) AS smaller (id, readings) JOIN dead_letters USING (id)
             WHERE smaller.readings > 0
         ), counted AS (
             INSERT INTO dead_letter_removals AS kept (topic, topic_id, partition, outcome, letters)
             SELECT topic, topic_id, partition, $2, sum(readings) FROM gone_or_smaller
             GROUP BY topic, topic_id, partition ORDER BY topic, topic_id, partition
             ON CONFLICT (topic, topic_id, partition, outcome)
                 DO UPDATE SET letters = kept.letters + excluded.letters
         )
         SELECT count(*), coalesce(sum(readings), 0)::bigint FROM gone",
    )
    .bind(ids)
    .bind(outcome.as_str())
    .bind(parts.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(parts.iter().map(|(_, readings)| *readings).collect::<Vec<_>>())
    .fetch_one(connection)
    .await?;
    Ok(Removed { letters: letters.cast_unsigned(), readings: readings.cast_unsigned() })
}

/// Takes readings out of a dead letter that this transaction has locked: `left` are those that stay, with the reason of today.
/// [`remove_beside`] counts the others.
pub(super) async fn keep_part(
    connection: &mut PgConnection,
    id: i64,
    left: &Part,
    (reason, detail): (&str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead_letters
         SET readings = $2, items = $3, untimed_items = $4, reading_times = $5, reason = $6, detail = $7
         WHERE id = $1",
    )
    .bind(id)
    .bind(left.readings)
    .bind(&left.items)
    .bind(&left.untimed_items)
    .bind(&left.reading_times)
    .bind(reason)
    .bind(detail)
    .execute(connection)
    .await
    .map(drop)
}
