//! Dead letters to be looked at.

use sqlx::{Postgres, QueryBuilder};

use super::{Filter, Letter, WholeDeadLetter, replayable_reasons};
use crate::store::{StoreError, pool::Pool};

/// Letters, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// At most as many as were asked for.
    pub letters: Vec<Letter>,
    /// The id to go on below; none on the last page.
    pub next: Option<i64>,
}

/// A key is a sensor's id by contract; what is longer is for who looks at one letter.
const KEY: &str = "CASE WHEN octet_length(key) <= 256 THEN key END AS key";
const COLUMNS: &str = r#"id, topic, topic_id, partition, "offset", item, reason, detail, received_at, record_time,
    mirrored_at, octet_length(payload)::bigint AS payload_bytes, readings, items IS NOT NULL AS is_of_many"#;

/// The newest `limit` dead letters of a filter whose ids are below `before`.
pub async fn page(pool: &Pool, filter: Filter, before: Option<i64>, limit: u32) -> Result<Page, StoreError> {
    pool.run("listing dead letters", move |connection| {
        Box::pin(async move {
            let mut query: QueryBuilder<'_, Postgres> =
                QueryBuilder::new(format!("SELECT {COLUMNS}, {KEY}, reason = ANY ("));
            query.push_bind(replayable_reasons()).push(") AS replayable FROM dead_letters WHERE true");
            filter.push_to(&mut query);
            if let Some(before) = before {
                query.push(" AND id < ").push_bind(before);
            }
            query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit) + 1);
            let mut letters: Vec<Letter> = query.build_query_as().fetch_all(connection).await?;
            let has_more = letters.len() > limit as usize;
            letters.truncate(limit as usize);
            let next = letters.last().filter(|_| has_more).map(|last| last.id);
            Ok(Page { letters, next })
        })
    })
    .await
}

/// All of one letter.
pub async fn find(pool: &Pool, id: i64) -> Result<Option<WholeDeadLetter>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, key, payload, coalesce(headers, '[]') AS headers, reason = ANY ($2) AS replayable
         FROM dead_letters WHERE id = $1"
    );
    pool.run("reading a dead letter", move |connection| {
        Box::pin(async move {
            sqlx::query_as(&sql).bind(id).bind(replayable_reasons()).fetch_optional(connection).await
        })
    })
    .await
}
