//! What is asked about readings: statistics over buckets, the readings themselves, the latest ones.
//!
//! Rules that every query here keeps:
//!
//! - It runs on the pool for reads, which may lead to a replica, and writes nothing.
//! - It bounds time with parameters where it can, and is planned with their values, so the planner leaves out all
//!   other chunks. Where a question has no bound of its own ("the newest"), it is asked of [`windows`] that grow.
//! - It touches no more chunks at a time than [`super::chunk_spans`] allows, whatever range is asked for.
//! - What it answers is bounded: by the number of buckets, of sensors, or of readings.

mod chart;
pub(super) mod ends;
mod latest;
mod measure;
mod newer;
mod readings;
mod selection;
mod stats;
pub(super) mod windows;

pub use self::{
    chart::{Chart, ChartQuery, Source, chart},
    ends::{FIRST_TIME, LAST_TIME},
    latest::{LATEST_SQL, latest},
    measure::{Measure, Quantile},
    newer::newer,
    readings::{Order, PageQuery, readings},
    selection::{Selection, select},
    stats::{BucketStats, StatsQuery, stats},
};
use crate::reading::{Reading, Timestamp};

/// A row of `sensor_data`.
type Row = (i32, chrono::DateTime<chrono::Utc>, f64);

fn reading((sensor_id, time, value): Row) -> Reading {
    Reading { sensor_id, time: Timestamp::from_micros(time.timestamp_micros()), value }
}

/// A time as a parameter; one past what a column holds becomes the last that it does.
pub(super) fn parameter(time: Timestamp) -> chrono::DateTime<chrono::Utc> {
    time.max(windows::BEGINNING).min(windows::END).to_datetime().unwrap_or_default()
}
