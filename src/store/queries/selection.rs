//! Which sensors a question is about.

use crate::store::{StoreError, pool::Pool};

/// Sensors that have all of what is given; all there are where nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// One of these ids.
    pub ids: Option<Vec<i32>>,
    /// Exactly this type.
    pub sensor_type: Option<String>,
    /// Exactly this location.
    pub location: Option<String>,
}

/// The ids of the sensors selected, in order, at most `limit`.
pub async fn select(pool: &Pool, selection: Selection, limit: usize) -> Result<Vec<i32>, StoreError> {
    const SQL: &str = "SELECT sensor_id FROM sensors
        WHERE ($1::int4[] IS NULL OR sensor_id = ANY($1))
          AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
          AND ($2::text IS NULL OR sensor_type = $2) AND ($3::text IS NULL OR location = $3)
        ORDER BY sensor_id LIMIT $4";
    pool.read("selecting sensors", move |connection| {
        let selection = selection.clone();
        Box::pin(
            sqlx::query_scalar(SQL)
                .bind(selection.ids)
                .bind(selection.sensor_type)
                .bind(selection.location)
                .bind(limit as i64)
                .fetch_all(connection),
        )
    })
    .await
}
