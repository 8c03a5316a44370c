//! Rows around which others are refused: what became of each.

use sqlx::PgConnection;

use crate::{
    batch::Row,
    reading::OnDuplicate,
    store::{StoreError, error::Refusal, postgres_time::PostgresTime},
};

/// What became of a row that was not plainly stored.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It was there already, or took the place of one that was.
    Duplicate,
    /// Neither written nor refused, and not there: a trigger returned nothing.
    Dropped,
    /// The server said no to it alone.
    Refused(Refusal),
}

/// Stores rows around those that the server refuses, in one round trip; says which ones were not plainly stored.
pub(super) async fn store_each(
    connection: &mut PgConnection,
    rows: &[Row],
    policy: OnDuplicate,
) -> Result<Vec<(Row, Fate)>, StoreError> {
    let told: Vec<(i32, String, Option<String>, Option<String>)> =
        sqlx::query_as("SELECT place, fate, code, words FROM sensorpipe_store_each($1, $2, $3, $4)")
            .bind(rows.iter().map(|row| row.sensor_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.value).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| PostgresTime(row.time)).collect::<Vec<_>>())
            .bind(policy == OnDuplicate::Overwrite)
            .fetch_all(connection)
            .await
            .map_err(StoreError::new("storing readings one by one"))?;
    let fate = |(place, fate, code, words): (i32, String, Option<String>, Option<String>)| {
        let fate = match fate.as_str() {
            "duplicate" => Fate::Duplicate,
            "dropped" => Fate::Dropped,
            _ => Fate::Refused(Refusal { code: code.unwrap_or_default(), words: words.unwrap_or_default() }),
        };
        (rows[place as usize - 1], fate)
    };
    Ok(told.into_iter().map(fate).collect())
}
