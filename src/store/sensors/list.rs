//! Sensors page by page.

use std::time::Duration;

use sqlx::{Postgres, QueryBuilder};

use super::Sensor;
use crate::store::{StoreError, pool::Pool};

/// Which sensors are meant; all conditions together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Exactly this type.
    pub sensor_type: Option<String>,
    /// Exactly this place.
    pub location: Option<String>,
    /// This text somewhere in the type, the description or the place, whatever its case.
    pub text: Option<String>,
}

/// Sensors in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most as many as were asked for.
    pub sensors: Vec<Sensor>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Longest time that a page may take. A text is looked for in every sensor, in 200,000 of them for some
/// 1.5 s on a busy machine; no other list takes long.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The first `limit` sensors of a filter whose ids are above `after`.
pub async fn page(pool: &Pool, filter: Filter, after: Option<i32>, limit: u16) -> Result<Page, StoreError> {
    pool.read_briefly(PAGE_TIMEOUT, "listing sensors", move |connection| {
        let filter = filter.clone();
        Box::pin(async move {
            // Only the conditions that there are, so that the planner sees which index serves them.
            let mut query: QueryBuilder<'_, Postgres> = QueryBuilder::new(
                "SELECT sensor_id, sensor_type, description, location FROM sensors
                 WHERE sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))",
            );
            if let Some(after) = after {
                query.push(" AND sensor_id > ").push_bind(after);
            }
            if let Some(sensor_type) = filter.sensor_type {
                query.push(" AND sensor_type = ").push_bind(sensor_type);
            }
            if let Some(location) = filter.location {
                query.push(" AND location = ").push_bind(location);
            }
            if let Some(text) = filter.text {
                // strpos knows no wildcards.
                query
                    .push(" AND strpos(lower(concat_ws(' ', sensor_type, description, location)), lower(")
                    .push_bind(text)
                    .push(")) > 0");
            }
            query.push(" ORDER BY sensor_id LIMIT ").push_bind(i64::from(limit) + 1);
            let mut sensors: Vec<Sensor> = query.build_query_as().fetch_all(connection).await?;
            let has_more = sensors.len() > usize::from(limit);
            sensors.truncate(usize::from(limit));
            Ok(Page { sensors, has_more })
        })
    })
    .await
}
