//! The readings' part of the transaction: COPY, and what is done where it meets a conflict or a refusal.
//!
//! ```text
//! COPY ── all there ──────────────────────────> stored
//!   ├─ some are there already ──> staged ─────> stored, duplicates
//!   └─ the server says no, or dropped some
//!                  ─────────────> one by one ─> stored, duplicates, dropped, refused
//! refused ── of the row, or plain readings pass and it is refused again ──> dead letters
//!        └─ not even plain readings pass ──> an outage: nothing is written
//! ```

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Executor, PgConnection};

use super::{
    copy::copy,
    each::{Fate, store_each},
    trial::plain_readings_pass,
    way::{PORTION, Way},
};
use crate::{
    batch::{Batch, Rejected, Row},
    reading::{OnDuplicate, Reason, decode::Reject},
    store::{
        StoreError,
        error::{Refusal, is_of_a_row},
        postgres_time::PostgresTime,
    },
};

/// What became of the rows.
#[derive(Debug, Default)]
pub(in crate::store) struct Stored {
    /// Rows that were in the table already, by partition.
    pub(in crate::store) duplicates: BTreeMap<i32, i64>,
    /// Rows that the database refused, by partition.
    pub(in crate::store) refused: BTreeMap<i32, i64>,
    /// Rows that had given way to one for the same key which was refused, and were tried in its place.
    pub(in crate::store) in_place_of_refused: Vec<Row>,
    /// The keys of refused rows.
    refused_keys: BTreeSet<(i32, i64)>,
}

/// What storing rows needs to know besides them.
pub(in crate::store) struct Storing<'a> {
    pub(in crate::store) batch: &'a Batch,
    pub(in crate::store) policy: OnDuplicate,
    /// Somebody's triggers see each row, and may drop it without a word.
    pub(in crate::store) has_triggers: bool,
    /// A refusal that need not be a row's own is gone around, not only those that always are. Not at first: it may
    /// have passed when the batch is tried again.
    pub(in crate::store) goes_around_all: bool,
}

/// The savepoint that rows are tried under. There is one at a time, whatever the number of tries.
#[derive(Debug, Default)]
struct Savepoint {
    is_set: bool,
}

impl Storing<'_> {
    /// Stores sorted rows with distinct keys; and those that `gave_way` to one of them for the same key, where that is
    /// refused: there is none to be a duplicate of.
    pub(in crate::store) async fn store(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
        gave_way: &mut Vec<Row>,
        way: Way,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Stored, StoreError> {
        let mut stored = Stored::default();
        self.store_distinct(connection, rows, way, rejected, &mut stored).await?;
        let refused_keys = std::mem::take(&mut stored.refused_keys);
        if refused_keys.is_empty() {
            return Ok(stored);
        }
        let (mut left, stay): (Vec<Row>, Vec<Row>) =
            gave_way.drain(..).partition(|row| refused_keys.contains(&row.key()));
        *gave_way = stay;
        // One after the other: by either policy the right one is there in the end.
        left.sort_unstable_by_key(|row| (row.key(), self.batch.recency(row)));
        for some in left.chunks(PORTION) {
            self.store_each(connection, some, rejected, &mut stored).await?;
        }
        stored.in_place_of_refused = left;
        Ok(stored)
    }

    async fn store_distinct(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
        way: Way,
        rejected: &mut Vec<Rejected>,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        let mut savepoint = Savepoint::default();
        match way {
            Way::Copy if rows.len() > PORTION => {
                savepoint.set(connection).await?;
                match copy(connection, rows).await {
                    Ok(copied) if copied == rows.len() as u64 => return Ok(()),
                    Ok(_) => {}
                    Err(error) => self.may_go_around(error).map(drop)?,
                }
                savepoint.roll_back(connection).await?;
                self.store_portions(connection, &mut savepoint, rows, rejected, stored).await
            }
            Way::Copy | Way::Portions => {
                self.store_portions(connection, &mut savepoint, rows, rejected, stored).await
            }
            Way::Staged => self.stage(connection, &mut savepoint, rows, rejected, stored).await,
        }
    }

    async fn store_portions(
        &self,
        connection: &mut PgConnection,
        savepoint: &mut Savepoint,
        rows: &[Row],
        rejected: &mut Vec<Rejected>,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        for some in rows.chunks(PORTION) {
            savepoint.set(connection).await?;
            let is_row_refused = match copy(connection, some).await {
                Ok(copied) if copied == some.len() as u64 => continue,
                // A trigger dropped some.
                Ok(_) => true,
                Err(error) => {
                    let error = self.may_go_around(error)?;
                    error.is_of_a_row() && error.sqlstate().as_deref() != Some(UNIQUE_VIOLATION)
                }
            };
            savepoint.roll_back(connection).await?;
            if is_row_refused {
                self.store_each(connection, some, rejected, stored).await?;
            } else {
                self.stage(connection, savepoint, some, rejected, stored).await?;
            }
        }
        Ok(())
    }

    /// Stores rows around those that are there already, in one statement unless some are refused.
    async fn stage(
        &self,
        connection: &mut PgConnection,
        savepoint: &mut Savepoint,
        rows: &[Row],
        rejected: &mut Vec<Rejected>,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        savepoint.set(connection).await?;
        match self.insert(connection, rows).await {
            Ok(inserted) => {
                let count: i64 = inserted.values().sum();
                // Where no trigger sees the rows, what was not inserted was there.
                if !self.has_triggers || count == rows.len() as i64 {
                    self.count_duplicates(rows, &inserted, stored);
                    return Ok(());
                }
            }
            Err(error) => self.may_go_around(error).map(drop)?,
        }
        savepoint.roll_back(connection).await?;
        for some in rows.chunks(PORTION) {
            self.store_each(connection, some, rejected, stored).await?;
        }
        Ok(())
    }

    /// Stores rows around those that are refused, and sets these aside once it is sure that it is about them.
    async fn store_each(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
        rejected: &mut Vec<Rejected>,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        let mut suspects = Vec::new();
        for (row, fate) in store_each(connection, rows, self.policy).await? {
            match fate {
                Fate::Refused(refusal) if !is_of_a_row(&refusal.code) => suspects.push((row, refusal)),
                fate => self.note(&row, fate, rejected, stored),
            }
        }
        if suspects.is_empty() {
            return Ok(());
        }
        self.try_plain_readings(connection, &suspects).await?;
        let again: Vec<Row> = suspects.into_iter().map(|(row, _)| row).collect();
        for (row, fate) in store_each(connection, &again, self.policy).await? {
            self.note(&row, fate, rejected, stored);
        }
        Ok(())
    }

    /// An error where plain readings beside one of these rows do not pass either, once for each sort of refusal.
    async fn try_plain_readings(
        &self,
        connection: &mut PgConnection,
        suspects: &[(Row, Refusal)],
    ) -> Result<(), StoreError> {
        let mut tried: Vec<&str> = Vec::new();
        for (row, refusal) in suspects {
            if tried.contains(&refusal.code.as_str()) {
                continue;
            }
            if !plain_readings_pass(connection, row, refusal).await? {
                return Err(StoreError::refused("storing readings", refusal.clone()));
            }
            tried.push(&refusal.code);
        }
        Ok(())
    }

    fn note(&self, row: &Row, fate: Fate, rejected: &mut Vec<Rejected>, stored: &mut Stored) {
        let partition = self.batch.partition_of(row);
        let detail = match fate {
            Fate::Duplicate => {
                *stored.duplicates.entry(partition).or_default() += 1;
                return;
            }
            Fate::Dropped => "a trigger dropped it".to_owned(),
            Fate::Refused(refusal) => refusal.words,
        };
        *stored.refused.entry(partition).or_default() += 1;
        stored.refused_keys.insert(row.key());
        rejected.push(self.batch.reject_row(row, Reject::new(Reason::RejectedByDatabase, detail)));
    }

    /// Gives back a refusal that may be one of single rows; the others end the attempt.
    fn may_go_around(&self, error: StoreError) -> Result<StoreError, StoreError> {
        if error.is_of_a_row() || (self.goes_around_all && error.is_refusal()) {
            Ok(error)
        } else {
            Err(error)
        }
    }

    fn count_duplicates(&self, rows: &[Row], inserted: &BTreeMap<i32, i64>, stored: &mut Stored) {
        let mut sent: BTreeMap<i32, i64> = BTreeMap::new();
        for row in rows {
            *sent.entry(self.batch.partition_of(row)).or_default() += 1;
        }
        for (partition, count) in sent {
            let duplicates = count - inserted.get(&partition).copied().unwrap_or(0);
            if duplicates > 0 {
                *stored.duplicates.entry(partition).or_default() += duplicates;
            }
        }
    }

    /// Inserts rows that are not there; by policy overwrites those that are. Returns the new ones by partition.
    ///
    /// The rows arrive sorted and are inserted in that order, so that two writers meet equal keys in the same one.
    async fn insert(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
    ) -> Result<BTreeMap<i32, i64>, StoreError> {
        let statement = match self.policy {
            OnDuplicate::Ignore => INSERT_NEW,
            OnDuplicate::Overwrite => INSERT_OR_OVERWRITE,
        };
        let counts: Vec<(i32, i64)> = sqlx::query_as(statement)
            .bind(rows.iter().map(|row| row.sensor_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.value).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| PostgresTime(row.time)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| self.batch.partition_of(row)).collect::<Vec<_>>())
            .fetch_all(connection)
            .await
            .map_err(StoreError::new("inserting readings"))?;
        Ok(counts.into_iter().collect())
    }
}

const INSERT_NEW: &str = "
    WITH staged AS MATERIALIZED (
        SELECT * FROM unnest($1::int[], $2::float8[], $3::timestamptz[], $4::int[]) AS s (sensor_id, value, time, partition)
    ), inserted AS (
        INSERT INTO sensor_data (sensor_id, value, time) SELECT sensor_id, value, time FROM staged
        ON CONFLICT (sensor_id, time) DO NOTHING
        RETURNING sensor_id, time
    )
    SELECT partition, count(*) FROM inserted JOIN staged USING (sensor_id, time) GROUP BY partition";

/// A row that was inserted and not updated has no deleting transaction: its `xmax` is 0.
const INSERT_OR_OVERWRITE: &str = "
    WITH staged AS MATERIALIZED (
        SELECT * FROM unnest($1::int[], $2::float8[], $3::timestamptz[], $4::int[]) AS s (sensor_id, value, time, partition)
    ), written AS (
        INSERT INTO sensor_data (sensor_id, value, time) SELECT sensor_id, value, time FROM staged
        ON CONFLICT (sensor_id, time) DO UPDATE SET value = excluded.value
        RETURNING sensor_id, time, xmax = 0 AS is_new
    )
    SELECT partition, count(*) FROM written JOIN staged USING (sensor_id, time) WHERE is_new GROUP BY partition";

/// `unique_violation`
const UNIQUE_VIOLATION: &str = "23505";

impl Savepoint {
    /// Sets it anew: what was tried since the last time stays.
    ///
    /// The planner takes a list of unknown length for a short one; joining two long ones by nested loops takes minutes.
    async fn set(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let statement = if std::mem::replace(&mut self.is_set, true) {
            "RELEASE SAVEPOINT readings; SAVEPOINT readings"
        } else {
            "SAVEPOINT readings; SET LOCAL enable_nestloop = off"
        };
        connection.execute(statement).await.map_err(StoreError::new("setting a savepoint"))?;
        Ok(())
    }

    /// Forgets what was tried since it was set.
    async fn roll_back(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        self.is_set = false;
        connection
            .execute("ROLLBACK TO SAVEPOINT readings; RELEASE SAVEPOINT readings")
            .await
            .map_err(StoreError::new("rolling back to a savepoint"))?;
        Ok(())
    }
}
