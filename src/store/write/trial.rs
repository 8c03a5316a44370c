//! Whether a refusal speaks of the row or of the server: told by trying.
//!
//! A full disk, a missing right and a trigger's own error may carry the same SQLSTATE. So plain readings are tried
//! beside the row: of its sensor, with a value of 0, and of another sensor. Where neither passes, nothing would, and
//! nothing is set aside.

use sqlx::{Executor, PgConnection};

use super::each::{Fate, store_each};
use crate::{
    batch::Row,
    reading::OnDuplicate,
    store::{StoreError, error::Refusal},
};

/// Plain readings of one trial: enough that they need room of their own in the table and in its indexes.
const READINGS: i64 = 500;

/// Whether plain readings beside this row pass. They are rolled back.
pub(super) async fn plain_readings_pass(
    connection: &mut PgConnection,
    row: &Row,
    refusal: &Refusal,
) -> Result<bool, StoreError> {
    if pass(connection, row, row.sensor_id, refusal).await? {
        return Ok(true);
    }
    let another: Option<i32> =
        sqlx::query_scalar("SELECT sensor_id FROM sensors WHERE sensor_id <> $1 ORDER BY sensor_id LIMIT 1")
            .bind(row.sensor_id)
            .fetch_optional(&mut *connection)
            .await
            .map_err(StoreError::new("looking for another sensor"))?;
    match another {
        Some(sensor_id) => pass(connection, row, sensor_id, refusal).await,
        None => Ok(false),
    }
}

async fn pass(
    connection: &mut PgConnection,
    row: &Row,
    sensor_id: i32,
    refusal: &Refusal,
) -> Result<bool, StoreError> {
    let doing = "trying plain readings";
    // Of the millisecond before: mostly the same chunk, and nearly never readings that are there.
    let plain: Vec<Row> = (1..=READINGS).map(|before| row.plain(sensor_id, row.time - before)).collect();
    connection.execute("SAVEPOINT trial").await.map_err(StoreError::new(doing))?;
    let fates = store_each(connection, &plain, OnDuplicate::Ignore).await?;
    connection
        .execute("ROLLBACK TO SAVEPOINT trial; RELEASE SAVEPOINT trial")
        .await
        .map_err(StoreError::new(doing))?;
    let is_the_same = |fate: &Fate| matches!(fate, Fate::Refused(other) if other.code == refusal.code);
    Ok(!fates.iter().any(|(_, fate)| is_the_same(fate)))
}
