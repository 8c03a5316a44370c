//! Chunks made ahead of the batch that needs them.
//!
//! A transaction that makes a chunk holds up every other writer that needs it until it commits, and keeps a lock on
//! `sensors` that holds up whoever adds one. So a chunk is made in a short transaction of its own: a row that no
//! reading can be, inserted and deleted again. The chunk stays, with its keys. The Apache edition has no other way.

use std::collections::BTreeSet;

use sqlx::{Executor, PgConnection};

use crate::{
    batch::Row,
    reading::Timestamp,
    store::{StoreError, error::Remedy},
};

/// Chunks that are known to be there, by their number.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    known: BTreeSet<i64>,
}

/// More known chunks than this are forgotten and looked up again; far past what a window of readings spans.
const KNOWN_MAX: usize = 100_000;

impl Chunks {
    /// Makes the chunks that these rows need and that are not there yet; outside of any transaction.
    ///
    /// Where rows reach the chunk of now, the one that follows is made when a tenth of it is left.
    pub(super) async fn make_missing(
        &mut self,
        connection: &mut PgConnection,
        rows: &[Row],
        chunk_micros: i64,
    ) -> Result<(), StoreError> {
        let missing = self.missing(rows, chunk_micros, Timestamp::now().micros());
        if missing.is_empty() {
            return Ok(());
        }
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        for chunk in missing {
            make(connection, Timestamp::from_micros(chunk * chunk_micros)).await?;
            self.known.insert(chunk);
        }
        Ok(())
    }

    fn missing(&self, rows: &[Row], chunk_micros: i64, now: i64) -> Vec<i64> {
        let mut wanted = BTreeSet::new();
        let mut last = None;
        for row in rows {
            let chunk = row.chunk(chunk_micros);
            if last.replace(chunk) != Some(chunk) {
                wanted.insert(chunk);
            }
        }
        if wanted.contains(&now.div_euclid(chunk_micros)) {
            wanted.insert((now + chunk_micros / 10).div_euclid(chunk_micros));
        }
        wanted.difference(&self.known).copied().collect()
    }
}

/// Makes the chunk that starts at this time, if it is not there.
async fn make(connection: &mut PgConnection, start: Timestamp) -> Result<(), StoreError> {
    let statement = format!(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO sensor_data (sensor_id, value, time) VALUES ({NO_SENSOR}, 0, '{start}');
         DELETE FROM sensor_data WHERE sensor_id = {NO_SENSOR} AND time = '{start}';
         COMMIT"
    );
    let doing = "making a chunk";
    let Err(error) = connection.execute(statement.as_str()).await.map_err(StoreError::new(doing)) else {
        return Ok(());
    };
    match error.remedy() {
        Remedy::Reconnect => Err(error),
        // Such as a CHECK that no stand-in passes: then the batch makes the chunk itself.
        Remedy::Retry | Remedy::IsolateRow | Remedy::UniqueViolation | Remedy::Operator => {
            tracing::debug!(error = %error, cause = error.cause(), "chunk not made ahead");
            connection.execute("ROLLBACK").await.map_err(StoreError::new(doing))?;
            Ok(())
        }
    }
}

/// No sensor has this id, so no reading is ever touched.
const NO_SENSOR: i32 = i32::MIN;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Reading, decode::Place};

    fn row(micros: i64) -> Row {
        let time = Timestamp::from_micros(micros);
        Row::new(&Reading { sensor_id: 1, time, value: 0.0 }, 0, Place::Whole)
    }

    #[test]
    fn chunks_are_wanted_once_and_the_next_one_before_its_time() {
        let mut chunks = Chunks::default();
        let rows = [row(5), row(7), row(105), row(-3)];
        assert_eq!(chunks.missing(&rows, 100, 1_000), [-1, 0, 1]);
        chunks.known.insert(0);
        assert_eq!(chunks.missing(&rows, 100, 150), [-1, 1]);
        assert_eq!(chunks.missing(&rows, 100, 195), [-1, 1, 2]);
    }
}
