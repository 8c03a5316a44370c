//! Keeping the statistics of days that are over.

use chrono::NaiveDate;
use sqlx::{Executor, PgConnection};

use super::{COLUMNS, KEPT, SUMMED_UP, any_values, failed_days::FailedDays};
use crate::{
    metrics::DAYS_KEPT,
    reminder::Reminder,
    store::{
        StoreError,
        day_locks::{LOCK_CLASS, next_day, slot_of},
        error::is_out_of_range,
        pool::Pool,
        postgres_time::date_literal,
    },
};

/// Of days that cannot be kept, for each request meets them again.
static SAID: Reminder = Reminder::new();

const DOING: &str = "keeping daily statistics";

/// Keeps these days of a sensor, as far as nobody is changing them. The request goes on in any case.
pub(super) async fn roll_up_days(pool: &Pool, sensor_id: i32, days: Vec<NaiveDate>) {
    let (mut failed, pool) = (FailedDays::default(), pool.with_own_transactions());
    for day in days {
        let keeping = pool.run(DOING, move |connection| Box::pin(roll_up_day(connection, sensor_id, day)));
        if let Err(error) = failed.take(sensor_id, day, keeping.await) {
            metrics::counter!(DAYS_KEPT, "outcome" => "failed").increment(1);
            tracing::warn!(error = %error, cause = error.cause(), "daily statistics are not kept");
            return;
        }
    }
    if let Some(failed) = failed.any().filter(|_| SAID.is_due()) {
        tracing::warn!(
            db.sqlstate = failed.sqlstate(),
            "daily statistics not stored; computed for each request: {failed}"
        );
    }
}

/// The same over a connection of the caller's own.
pub(in crate::store) async fn keep(
    connection: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
) -> Result<bool, StoreError> {
    roll_up_day(connection, sensor_id, day).await.map_err(StoreError::new(DOING))
}

/// Keeps one day, in a transaction of its own; says whether it is kept now.
pub(super) async fn roll_up_day(
    connection: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
) -> Result<bool, sqlx::Error> {
    match connection.execute(transaction(sensor_id, day).as_str()).await {
        Err(error) if is_out_of_range(&error) => any_values::roll_up_day(connection, sensor_id, day).await?,
        outcome => {
            outcome?;
        }
    }
    let is_kept = is_kept(connection, sensor_id, day).await?;
    let outcome = if is_kept { "kept" } else { "busy" };
    metrics::counter!(DAYS_KEPT, "outcome" => outcome).increment(1);
    Ok(is_kept)
}

/// Whether a day is kept.
pub(super) async fn is_kept(
    connection: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM daily_stats WHERE sensor_id = $1 AND day = $2)")
        .bind(sensor_id)
        .bind(day)
        .fetch_one(connection)
        .await
}

/// What is kept of a day, out of its readings. Quartiles that overflow are as good an error as sums that do.
fn transaction(sensor_id: i32, day: NaiveDate) -> String {
    let (slot, next) = (slot_of(day), date_literal(next_day(day)));
    let day = date_literal(day);
    locked_day(
        sensor_id,
        slot,
        &format!(
            "INSERT INTO daily_stats (sensor_id, {KEPT})
             SELECT {sensor_id}, {SUMMED_UP}
             FROM (SELECT date '{day}' AS day, {COLUMNS} FROM sensor_data
                   WHERE sensor_id = {sensor_id} AND time >= '{day}' AND time < '{next}') AS day_stats
             WHERE reading_count > 0
             ON CONFLICT DO NOTHING;
             IF EXISTS (SELECT FROM daily_stats
                        CROSS JOIN LATERAL unnest(ARRAY[lower_quartile, median_value, upper_quartile]) AS figure
                        WHERE sensor_id = {sensor_id} AND day = '{day}'
                          AND NOT (figure > '-infinity' AND figure < 'infinity')) THEN
                 RAISE numeric_value_out_of_range;
             END IF;"
        ),
    )
}

/// The filler's half of what [`crate::store::day_locks`] says, as one message of several statements: `keep` where nobody
/// is changing the day.
///
/// The server runs it to its end whatever becomes of the client: a process that is frozen cannot hold up writers.
/// The sensor is locked first, as by everybody, and not waited for: whoever deletes it may be waiting for the day.
/// A crash may lose the row, which is no loss, so nobody waits for the disk.
pub(super) fn locked_day(sensor_id: i32, slot: i32, keep: &str) -> String {
    format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
         SET LOCAL synchronous_commit = off;
         DO $$ BEGIN
             PERFORM FROM sensors
             WHERE sensor_id = {sensor_id} AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
             FOR KEY SHARE SKIP LOCKED;
             IF FOUND THEN
                 IF pg_try_advisory_xact_lock({LOCK_CLASS}, {slot}) THEN
                     {keep}
                 END IF;
             END IF;
         END $$"
    )
}
