//! Keeping the quarter-hours of days that are over, which charts are drawn from.
//!
//! They stand in the row of their day's statistics, under the rules of [`crate::store::day_locks`]: the row is deleted
//! when a reading of its day changes, and they go with it. They are filled in by a transaction of their own, so that
//! `/daily_avg` does not wait for what it does not show.

use chrono::NaiveDate;
use sqlx::{Executor, PgConnection};

use super::{
    any_values,
    fill::{is_kept, locked_day, roll_up_day},
};
use crate::store::{
    StoreError,
    day_locks::{next_day, slot_of},
    error::is_out_of_range,
    pool::Pool,
    postgres_time::date_literal,
};

/// Keeps a day of a sensor, its statistics and its quarter-hours, if it has readings and nobody is changing them.
pub async fn roll_up_quarter_hours(pool: &Pool, sensor_id: i32, day: NaiveDate) -> Result<(), StoreError> {
    pool.with_own_transactions()
        .run("keeping quarter-hours", move |connection| {
            Box::pin(roll_up_whole_day(connection, sensor_id, day))
        })
        .await
}

/// The same over a connection of the caller's own.
pub(super) async fn roll_up_whole_day(
    connection: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
) -> Result<(), sqlx::Error> {
    if !is_kept(connection, sensor_id, day).await? && !roll_up_day(connection, sensor_id, day).await? {
        return Ok(());
    }
    match connection.execute(transaction(sensor_id, day).as_str()).await {
        Err(error) if is_out_of_range(&error) => {
            any_values::roll_up_quarter_hours(connection, sensor_id, day).await
        }
        outcome => outcome.map(drop),
    }
}

/// As the transaction that keeps the statistics.
///
/// What retention has taken readings of is left as it is: the rest would be told for the whole.
fn transaction(sensor_id: i32, day: NaiveDate) -> String {
    let (slot, next) = (slot_of(day), date_literal(next_day(day)));
    let day = date_literal(day);
    locked_day(
        sensor_id,
        slot,
        &format!(
            "UPDATE daily_stats SET quarter_hours = (
                 SELECT array_agg(figure ORDER BY quarter, place)
                 FROM generate_series(0, 95) AS quarter
                 CROSS JOIN LATERAL (
                     SELECT count(*) AS reading_count, min(value) AS min_value, max(value) AS max_value,
                            avg(value) AS avg_value
                     FROM sensor_data
                     WHERE sensor_id = {sensor_id} AND time >= '{day}' AND time < '{next}'
                       AND time >= timestamptz '{day}' + quarter * interval '15 minutes'
                       AND time < timestamptz '{day}' + (quarter + 1) * interval '15 minutes') AS summed_up
                 CROSS JOIN LATERAL unnest(ARRAY[quarter, reading_count, min_value, max_value, avg_value])
                     WITH ORDINALITY AS figures (figure, place)
                 WHERE reading_count > 0)
             WHERE sensor_id = {sensor_id} AND day = '{day}' AND quarter_hours IS NULL AND NOT is_final;"
        ),
    )
}
