//! Letters that go: counted in the transaction that deletes them, whoever does it and why.

use sqlx::{Connection, Executor, PgConnection, Postgres, QueryBuilder};

use super::{Portion, portion::Candidates};
use crate::{
    metrics::DEAD_LETTER_REMOVALS,
    store::{StoreError, pool::Pool},
};

const DOING: &str = "discarding dead letters";

/// Why a letter went.
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
    pub(super) fn count(self, letters: u64) {
        metrics::counter!(DEAD_LETTER_REMOVALS, "outcome" => self.as_str()).increment(letters);
    }
}

/// What came of a portion that was to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Letters that are gone.
    pub letters: u64,
    /// Letters that were asked for by their ids and were not there.
    pub missing: Vec<i64>,
    /// Where to go on; none at the end.
    pub next: Option<i64>,
}

/// Deletes a portion of letters for good, in one transaction.
pub async fn discard(pool: &Pool, portion: Portion) -> Result<Discarded, StoreError> {
    let discarded = pool
        .run(DOING, move |connection| {
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                begin(&mut transaction).await?;
                let mut candidates = portion.candidates(&mut transaction).await?;
                let ids = lock(&mut transaction, &portion, &mut candidates).await?;
                let letters = remove(&mut transaction, &ids, Outcome::Discarded).await?;
                transaction.commit().await?;
                let Candidates { missing, next, .. } = candidates;
                Ok(Discarded { letters, missing, next })
            })
        })
        .await?;
    Outcome::Discarded.count(discarded.letters);
    Ok(discarded)
}

/// What a transaction over letters begins with, whatever the database's own defaults are: a statement sees what was
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
    // A letter that a replay has given another reason meanwhile is not one that was meant.
    portion.which.push_to(&mut query);
    query.push(" ORDER BY id FOR UPDATE");
    let ids: Vec<i64> = query.build_query_scalar().fetch_all(connection).await?;
    portion.which.note_gone(candidates, &ids);
    Ok(ids)
}

/// Deletes letters that this transaction has locked, and counts them. The last thing that a transaction does, for the
/// counts are few rows that everybody needs.
pub(super) async fn remove(
    connection: &mut PgConnection,
    ids: &[i64],
    outcome: Outcome,
) -> Result<u64, sqlx::Error> {
    if ids.is_empty() {
        return Ok(0);
    }
    let gone: i64 = sqlx::query_scalar(
        "WITH gone AS (
             DELETE FROM dead_letters WHERE id = ANY ($1)
             RETURNING topic, coalesce(topic_id, '') AS topic_id, partition
         ), counted AS (
             INSERT INTO dead_letter_removals AS kept (topic, topic_id, partition, outcome, letters)
             SELECT topic, topic_id, partition, $2, count(*) FROM gone
             GROUP BY topic, topic_id, partition ORDER BY topic, topic_id, partition
             ON CONFLICT (topic, topic_id, partition, outcome)
                 DO UPDATE SET letters = kept.letters + excluded.letters
         )
         SELECT count(*) FROM gone",
    )
    .bind(ids)
    .bind(outcome.as_str())
    .fetch_one(connection)
    .await?;
    Ok(gone.cast_unsigned())
}
