//! The days' part of the transaction: kept statistics of what it touches are forgotten.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use sqlx::PgConnection;

use crate::{
    batch::Row,
    metrics::DAYS_REOPENED,
    store::{
        StoreError,
        day_locks::{LOCK_CLASS, day_number, day_of, slot},
    },
};

/// Locks the days of these rows against whoever would keep their statistics, and deletes those that are kept.
///
/// What a reading's fate will be is not known yet, so each one counts as a change. For days of which nothing is
/// kept, such as today, it is two short statements.
pub(in crate::store) async fn reopen(connection: &mut PgConnection, rows: &[Row]) -> Result<(), StoreError> {
    let touched = days(rows);
    let slots: BTreeSet<i32> = touched.iter().map(|&number| slot(number)).collect();
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1, slot) FROM unnest($2::int[]) AS slot")
        .bind(LOCK_CLASS)
        .bind(slots.into_iter().collect::<Vec<_>>())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::new("locking days"))?;
    let kept = kept_days(connection, &touched).await?;
    if !kept.is_empty() {
        forget(connection, rows, &kept).await?;
    }
    Ok(())
}

/// Numbers of the days that rows fall into. Rows come sorted, so a day is mostly that of the row before.
fn days(rows: &[Row]) -> BTreeSet<i64> {
    let mut days = BTreeSet::new();
    let mut last = None;
    for row in rows {
        let day = day_number(row.time);
        if last.replace(day) != Some(day) {
            days.insert(day);
        }
    }
    days
}

/// Those of which something is kept.
///
/// The next kept day at or after each one is asked for, in the index's order: with a plain equality the planner may
/// take a scan of the whole table for the shorter way to a first match, and of today there is none.
async fn kept_days(
    connection: &mut PgConnection,
    touched: &BTreeSet<i64>,
) -> Result<BTreeSet<NaiveDate>, StoreError> {
    let kept: Vec<NaiveDate> = sqlx::query_scalar(
        "SELECT touched.day FROM unnest($1::date[]) AS touched (day)
         CROSS JOIN LATERAL (SELECT day FROM daily_stats WHERE NOT is_final AND day >= touched.day
                             ORDER BY day LIMIT 1) AS next
         WHERE next.day = touched.day",
    )
    .bind(touched.iter().map(|&number| day_of(number)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(StoreError::new("looking for kept days"))?;
    Ok(kept.into_iter().collect())
}

/// Deletes what is kept of these days and the rows' sensors, in the order of sensors and days: two writers that
/// reopen the same ones do not deadlock.
async fn forget(
    connection: &mut PgConnection,
    rows: &[Row],
    kept: &BTreeSet<NaiveDate>,
) -> Result<(), StoreError> {
    let (mut sensor_ids, mut days) = (Vec::new(), Vec::new());
    let mut last = None;
    for row in rows {
        let pair = (row.sensor_id, day_number(row.time));
        if last.replace(pair) == Some(pair) {
            continue;
        }
        let day = day_of(pair.1);
        if kept.contains(&day) {
            sensor_ids.push(row.sensor_id);
            days.push(day);
        }
    }
    let reopened = sqlx::query(
        "DELETE FROM daily_stats WHERE ctid = ANY (ARRAY(
             SELECT kept.ctid FROM unnest($1::int[], $2::date[]) AS touched (sensor_id, day)
             JOIN daily_stats AS kept USING (sensor_id, day)
             WHERE NOT kept.is_final ORDER BY sensor_id, day FOR UPDATE OF kept))",
    )
    .bind(sensor_ids)
    .bind(days)
    .execute(connection)
    .await
    .map_err(StoreError::new("reopening days"))?;
    metrics::counter!(DAYS_REOPENED).increment(reopened.rows_affected());
    Ok(())
}
