//! How many dead letters there are, and since when.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use utoipa::ToSchema;

use super::replayable_reasons;
use crate::{
    config::DatabaseConfig,
    reading::Reason,
    store::{StoreError, connection::connect, dead_letter_usage::Usage, pool::Pool},
};

/// Dead letters of a reason are counted to here and no further, so that a count always costs little.
pub const COUNT_MAX: i64 = 1_000_000;

const DOING: &str = "counting dead letters";

/// The dead letters of one reason.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = ReasonBody)]
pub struct ReasonSummary {
    /// The reason.
    pub reason: String,
    // To `COUNT_MAX`.
    /// How many, to a million.
    pub letters: i64,
    /// Whether a replay may store them as they are.
    pub replayable: bool,
    /// When the first was set aside.
    pub oldest: Option<DateTime<Utc>>,
    /// When the last was.
    pub newest: Option<DateTime<Utc>>,
}

/// The dead letters of every reason, also where there are none.
pub async fn summary(pool: &Pool) -> Result<Vec<ReasonSummary>, StoreError> {
    pool.run(DOING, |connection| Box::pin(count(connection))).await
}

/// The same for a worker, which has no pool, and how full the table is.
pub async fn waiting(database: &DatabaseConfig) -> Result<(Vec<ReasonSummary>, Usage), StoreError> {
    let mut connection = connect(database, "sensorpipe metrics").await?;
    let usage = Usage::read(&mut connection).await.map_err(StoreError::new(DOING))?;
    let counted = count(&mut connection).await.map_err(StoreError::new(DOING))?;
    connection.close().await.map_err(StoreError::new(DOING))?;
    Ok((counted, usage))
}

/// Everything comes from the index on reason and id; the times are those of a reason's first and last letter.
async fn count(connection: &mut PgConnection) -> Result<Vec<ReasonSummary>, sqlx::Error> {
    sqlx::query_as(
        "SELECT reason, reason = ANY ($3) AS replayable,
                (SELECT count(*) FROM (SELECT FROM dead_letters AS letter WHERE letter.reason = wanted.reason
                                       LIMIT $2) AS counted) AS letters,
                (SELECT received_at FROM dead_letters AS letter WHERE letter.reason = wanted.reason AND isfinite(received_at)
                 ORDER BY id LIMIT 1) AS oldest,
                (SELECT received_at FROM dead_letters AS letter WHERE letter.reason = wanted.reason AND isfinite(received_at)
                 ORDER BY id DESC LIMIT 1) AS newest
         FROM unnest($1::text[]) WITH ORDINALITY AS wanted (reason, place) ORDER BY place",
    )
    .bind(Reason::ALL.map(Reason::as_str))
    .bind(COUNT_MAX)
    .bind(replayable_reasons())
    .fetch_all(connection)
    .await
}
