//! A sensor's readings as they are, page by page.

use std::ops::Range;

use sqlx::PgConnection;

use super::{Row, parameter, reading, windows};
use crate::{
    reading::{Reading, Timestamp},
    store::{StoreError, chunk_spans::ChunkSpans, pool::Pool},
};

/// Which reading comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

impl Order {
    /// The statement for a window of a page: $1 the sensor, $2 and $3 the window, $4 the limit.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Ascending => {
                "SELECT sensor_id, time, value FROM sensor_data
                 WHERE sensor_id = $1 AND time >= $2 AND time < $3 ORDER BY time LIMIT $4"
            }
            Self::Descending => {
                "SELECT sensor_id, time, value FROM sensor_data
                 WHERE sensor_id = $1 AND time >= $2 AND time < $3 ORDER BY time DESC LIMIT $4"
            }
        }
    }
}

/// A page of readings.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// Whose.
    pub sensor_id: i32,
    /// Not before; from the first one where not given.
    pub start: Option<Timestamp>,
    /// Before; to the last one where not given.
    pub end: Option<Timestamp>,
    /// From which end.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}

impl PageQuery {
    /// The page after the one that ends with a reading of this time. A time is a reading's key, so what is inserted
    /// meanwhile moves nothing from one page to another.
    #[must_use]
    pub fn after(self, time: Timestamp) -> Self {
        match self.order {
            Order::Ascending => {
                let start = time.plus_micros(1);
                Self { start: Some(self.start.map_or(start, |earliest| earliest.max(start))), ..self }
            }
            Order::Descending => Self { end: Some(self.end.map_or(time, |latest| latest.min(time))), ..self },
        }
    }

    fn windows(
        &self,
        now: Timestamp,
        spans: ChunkSpans,
    ) -> Box<dyn Iterator<Item = Range<Timestamp>> + Send> {
        let bounded = |time: Option<Timestamp>, other: Timestamp| {
            time.unwrap_or(other).max(windows::BEGINNING).min(windows::END)
        };
        let range = bounded(self.start, windows::BEGINNING)..bounded(self.end, windows::END);
        match self.order {
            Order::Ascending => Box::new(windows::forwards(range, now, spans)),
            Order::Descending => Box::new(windows::backwards(range, now, spans)),
        }
    }
}

/// The readings of a page, in their order.
pub async fn readings(pool: &Pool, page: PageQuery) -> Result<Vec<Reading>, StoreError> {
    pool.read_by_spans("reading readings", page, |connection, page, spans| {
        Box::pin(window_by_window(connection, page, spans))
    })
    .await
}

async fn window_by_window(
    connection: &mut PgConnection,
    page: PageQuery,
    spans: ChunkSpans,
) -> Result<Vec<Reading>, sqlx::Error> {
    let mut readings = Vec::new();
    for window in page.windows(Timestamp::now(), spans) {
        let rows: Vec<Row> = sqlx::query_as(page.order.sql())
            .bind(page.sensor_id)
            .bind(parameter(window.start))
            .bind(parameter(window.end))
            .bind((page.limit - readings.len()) as i64)
            .fetch_all(&mut *connection)
            .await?;
        readings.extend(rows.into_iter().map(reading));
        if readings.len() >= page.limit {
            break;
        }
    }
    Ok(readings)
}
