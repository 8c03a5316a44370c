//! Chunks made ahead of the batch that needs them.
//!
//! A transaction that makes a chunk holds up every other writer that needs it until it commits, and keeps a lock on
//! `sensors` that holds up whoever adds one. So a chunk is made in a short transaction of its own: a row that no
//! reading can be, inserted and deleted again, out of its chunk alone: a statement on the whole table would lock every
//! chunk there is. The chunk stays, with its keys. The Apache edition has no other way.

use std::collections::BTreeMap;

use sqlx::{Executor, PgConnection, Row as _};

use crate::{
    batch::{Batch, Rejected, Row},
    reading::{Reason, Timestamp, decode::Reject},
    store::StoreError,
};

/// Most chunks of one transaction: each one takes some five locks, of which a server has some thousands by default, for
/// all of its sessions.
pub(super) const SPAN_MAX: usize = 128;
/// Most chunks that are stored of one record, which cannot be cut.
pub(super) const RECORD_SPAN_MAX: usize = 500;

/// Chunks that are known to be there, by their number, with their table; none where it could not be made ahead.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    known: BTreeMap<i64, Option<u32>>,
}

/// More known chunks than this are forgotten and looked up again; far past what a window of readings spans.
const KNOWN_MAX: usize = 100_000;

impl Chunks {
    /// Makes the chunks that are wanted and not there yet; outside of any transaction.
    pub(super) async fn make_missing(
        &mut self,
        connection: &mut PgConnection,
        spanned: &Spanned,
        chunk_micros: i64,
    ) -> Result<(), StoreError> {
        let missing = self.missing(spanned, chunk_micros, Timestamp::now().micros());
        if missing.is_empty() {
            return Ok(());
        }
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        for (chunk, value) in missing {
            let made = make(connection, Timestamp::from_micros(chunk * chunk_micros), value).await?;
            self.known.insert(chunk, made);
        }
        Ok(())
    }

    /// The tables of these chunks; none where one of them is not known.
    pub(super) fn tables(&self, spanned: &Spanned) -> Option<Vec<u32>> {
        spanned.keys().map(|chunk| self.known.get(chunk).copied().flatten()).collect()
    }

    /// Those that are not known. Where rows reach the chunk of now, the one that follows is made when a tenth of it is
    /// left.
    fn missing(&self, spanned: &Spanned, chunk_micros: i64, now: i64) -> Vec<(i64, f64)> {
        let mut wanted = spanned.clone();
        if let Some(&value) = wanted.get(&now.div_euclid(chunk_micros)) {
            wanted.entry((now + chunk_micros / 10).div_euclid(chunk_micros)).or_insert(value);
        }
        wanted.retain(|chunk, _| !self.known.contains_key(chunk));
        wanted.into_iter().collect()
    }
}

/// Chunks by number, each with the value of a row that falls into it.
pub(super) type Spanned = BTreeMap<i64, f64>;

/// The chunks that rows fall into.
pub(super) fn spanned(rows: &[Row], chunk_micros: i64) -> Spanned {
    let mut chunks = Spanned::new();
    let mut last = None;
    for row in rows {
        let chunk = row.chunk(chunk_micros);
        if last.replace(chunk) != Some(chunk) {
            chunks.entry(chunk).or_insert(row.value);
        }
    }
    chunks
}

/// Sets aside the rows of a record that needs more chunks than a transaction can lock, from the first one on that is
/// past them.
pub(super) fn set_aside_what_is_too_far(
    batch: &Batch,
    sorted: &mut Vec<Row>,
    rejected: &mut Vec<Rejected>,
    chunk_micros: i64,
) {
    if batch.record_count() > 1 {
        return;
    }
    let (mut chunks, mut last) = (0, None);
    let is_too_far = |row: &Row| {
        let chunk = row.chunk(chunk_micros);
        chunks += usize::from(last.replace(chunk) != Some(chunk));
        chunks > RECORD_SPAN_MAX
    };
    if let Some(first) = sorted.iter().position(is_too_far) {
        let detail =
            format!("a record may span {RECORD_SPAN_MAX} chunks of the table, and this reading is past them");
        let reject =
            |row: &Row| batch.reject_row(row, Reject::new(Reason::RejectedByDatabase, detail.clone()));
        rejected.extend(sorted[first..].iter().map(reject));
        sorted.truncate(first);
    }
}

/// Makes the chunk that starts at this time, if it is not there, by a row of this value or, where a CHECK is against that,
/// by another one; says which table it is.
async fn make(
    connection: &mut PgConnection,
    start: Timestamp,
    value: f64,
) -> Result<Option<u32>, StoreError> {
    for (sensor_id, value) in
        [NO_SENSOR, 1].into_iter().flat_map(|sensor_id| [value, 0.0, -1.0].map(|value| (sensor_id, value)))
    {
        match insert(connection, start, sensor_id, value).await.map_err(StoreError::new(DOING)) {
            Ok(table) => return Ok(Some(table)),
            Err(error) if error.is_refusal() => {
                tracing::debug!(error = %error, cause = error.cause(), "chunk not created in advance");
                connection.execute("ROLLBACK").await.map_err(StoreError::new(DOING))?;
            }
            Err(error) => return Err(error),
        }
    }
    // The batch makes the chunk itself.
    Ok(None)
}

/// A reading that is there already, of the second stand-in, is a conflict: nothing of anybody's is deleted.
async fn insert(
    connection: &mut PgConnection,
    start: Timestamp,
    sensor_id: i32,
    value: f64,
) -> Result<u32, sqlx::Error> {
    let insert = format!(
        "BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO sensor_data (sensor_id, value, time) VALUES ({sensor_id}, '{value:e}', '{start}')
         RETURNING tableoid::bigint, tableoid::regclass::text"
    );
    let row = connection.fetch_one(insert.as_str()).await?;
    let (oid, table): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let delete =
        format!("DELETE FROM ONLY {table} WHERE sensor_id = {sensor_id} AND time = '{start}'; COMMIT");
    connection.execute(delete.as_str()).await?;
    u32::try_from(oid).map_err(|error| sqlx::Error::Decode(error.into()))
}

const DOING: &str = "making a chunk";

/// No sensor has this id.
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
        let missing = |chunks: &Chunks, now| -> Vec<i64> {
            chunks.missing(&spanned(&rows, 100), 100, now).into_iter().map(|(chunk, _)| chunk).collect()
        };
        assert_eq!(missing(&chunks, 1_000), [-1, 0, 1]);
        chunks.known.insert(0, Some(7));
        assert_eq!(missing(&chunks, 150), [-1, 1]);
        assert_eq!(missing(&chunks, 195), [-1, 1, 2]);
        assert_eq!(chunks.tables(&spanned(&rows[..2], 100)), Some(vec![7]));
        assert_eq!(chunks.tables(&spanned(&rows, 100)), None, "some are not known");
    }
}
