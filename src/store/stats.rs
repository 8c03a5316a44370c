//! Statistics over a sensor's readings.
//!
//! ```text
//! daily_avg ── settled ──> one statement: a week of kept days, and today from its readings
//!                └─ where that is not all there is to say:
//!              newest_days ──> one snapshot: which days there are; those not kept, from their readings
//!                └─ days that are over and not kept:
//!              fill ──> kept from now on; see `day_locks`
//!              any_values ──> the same figures where plain SQL overflows
//! queries::chart ── quarter_hours ──> the same days, finer, for charts; `sweep` keeps them unasked
//! ```

mod any_values;
mod failed_days;
pub(super) mod fill;
mod newest_days;
mod quarter_hours;
mod rebuild;
mod settled;
mod sweep;

use chrono::{NaiveDate, Utc};

use self::newest_days::{Kept, Question};
pub use self::{
    failed_days::FailedDays,
    newest_days::DAYS_OF_WEEK,
    quarter_hours::roll_up_quarter_hours,
    rebuild::{Rebuilt, StatsStore},
    settled::statement as settled_statement,
    sweep::{Reach, Swept, sweep},
};
use super::{StoreError, pool::Pool};

/// One sensor's readings of one UTC day, summed up.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct DayStats {
    /// The day.
    pub day: NaiveDate,
    /// Arithmetic mean.
    pub avg_value: f64,
    /// Smallest value.
    pub min_value: f64,
    /// Largest value.
    pub max_value: f64,
    /// How many readings.
    pub reading_count: i64,
    /// `percentile_cont(0.5)`.
    pub median_value: f64,
    /// `percentile_cont(0.25)`.
    pub lower_quartile: f64,
    /// `percentile_cont(0.75)`.
    pub upper_quartile: f64,
}

impl DayStats {
    /// False where plain SQL's quartiles overflowed, or a reading that others' SQL wrote is no number.
    fn has_quartiles(&self) -> bool {
        [self.lower_quartile, self.median_value, self.upper_quartile].into_iter().all(f64::is_finite)
    }
}

/// The newest days that are told.
const DAYS_MAX: usize = 7;

/// Columns of readings summed up, in a `SELECT` over `sensor_data`. Sums, squares and distances of values past 1e144 may
/// overflow: see [`any_values`].
const COLUMNS: &str = "avg(value) AS avg_value, min(value) AS min_value, max(value) AS max_value,
    count(*) AS reading_count, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS quartiles";

/// The columns of [`DayStats`] from [`COLUMNS`] and a `day`.
const SUMMED_UP: &str = "day, avg_value, min_value, max_value, reading_count,
    quartiles[1] AS lower_quartile, quartiles[2] AS median_value, quartiles[3] AS upper_quartile";

/// The same columns as they are kept.
const KEPT: &str = "day, avg_value, min_value, max_value, reading_count,
    lower_quartile, median_value, upper_quartile";

/// The newest 7 UTC days on which a sensor has readings, newest first.
///
/// Days that are over are kept through `fills`, a pool that may write; without it nothing that is kept is used.
pub async fn daily_avg(
    reads: &Pool,
    fills: Option<&Pool>,
    sensor_id: i32,
) -> Result<Vec<DayStats>, StoreError> {
    let Some(fills) = fills else {
        let question = Question { sensor_id, kept: Kept::Ignored, all_kept_before: None };
        return Ok(newest_days::read(reads, question).await?.days);
    };
    let today = Utc::now().date_naive();
    if let Some(days) = settled::week(reads, sensor_id, today).await? {
        return Ok(days);
    }
    let question = Question { sensor_id, kept: Kept::Used, all_kept_before: Some(today) };
    let newest = newest_days::read(reads, question).await?;
    if newest.to_keep.is_empty() {
        return Ok(newest.days);
    }
    fill::roll_up_days(fills, sensor_id, newest.to_keep).await;
    let question = Question { all_kept_before: None, ..question };
    Ok(newest_days::read(reads, question).await?.days)
}
