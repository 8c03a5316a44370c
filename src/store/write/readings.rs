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

/// How rows are stored.
#[derive(Clone, Copy)]
pub(in crate::store) struct Rules {
    pub(in crate::store) policy: OnDuplicate,
    /// Somebody's triggers see each row, and may drop it without a word.
    pub(in crate::store) has_triggers: bool,
    /// A refusal that need not be a row's own is gone around, not only those that always are. Not at first: it may
    /// have passed when the batch is tried again.
    pub(in crate::store) goes_around_all: bool,
}

/// Rows on their way into the table, and what has become of them so far.
pub(in crate::store) struct Storing<'a> {
    rules: Rules,
    batch: &'a Batch,
    connection: &'a mut PgConnection,
    savepoint: Savepoint,
    rejected: &'a mut Vec<Rejected>,
    stored: Stored,
}

/// What COPY did of some rows.
enum Copied {
    All,
    /// None: some are there already, the first of them perhaps at this place; or it is not certain that the rows are at
    /// fault.
    Conflict(Option<usize>),
    /// None: the database refused or dropped some.
    Refused,
}

/// The savepoint that rows are tried under. There is one at a time, whatever the number of tries.
#[derive(Debug, Default)]
struct Savepoint {
    is_set: bool,
}

impl<'a> Storing<'a> {
    /// Nothing is stored yet. What is refused goes to `rejected`.
    pub(in crate::store) fn new(
        rules: Rules,
        batch: &'a Batch,
        connection: &'a mut PgConnection,
        rejected: &'a mut Vec<Rejected>,
    ) -> Self {
        let (savepoint, stored) = (Savepoint::default(), Stored::default());
        Self { rules, batch, connection, savepoint, rejected, stored }
    }

    /// Stores sorted rows with distinct keys; and those that `gave_way` to one of them for the same key, where that is
    /// refused: there is none to be a duplicate of.
    pub(in crate::store) async fn store(
        mut self,
        rows: &[Row],
        gave_way: &mut Vec<Row>,
        way: Way,
    ) -> Result<Stored, StoreError> {
        self.store_distinct(rows, way).await?;
        let refused_keys = std::mem::take(&mut self.stored.refused_keys);
        if refused_keys.is_empty() {
            return Ok(self.stored);
        }
        let (mut left, stay): (Vec<Row>, Vec<Row>) =
            gave_way.drain(..).partition(|row| refused_keys.contains(&row.key()));
        *gave_way = stay;
        // One after the other: by either policy the right one is there in the end.
        left.sort_unstable_by_key(|row| (row.key(), self.batch.recency(row)));
        self.store_each(&left).await?;
        self.stored.in_place_of_refused = left;
        Ok(self.stored)
    }

    async fn store_distinct(&mut self, rows: &[Row], way: Way) -> Result<(), StoreError> {
        match way {
            Way::Copy if rows.len() > PORTION => {
                if let Copied::All = self.copy(rows).await? {
                    return Ok(());
                }
                self.store_portions(rows).await
            }
            Way::Copy | Way::Portions => self.store_portions(rows).await,
            Way::Staged => self.stage(rows).await,
        }
    }

    async fn store_portions(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for some in rows.chunks(PORTION) {
            match self.copy(some).await? {
                Copied::All => {}
                // Most often there is one.
                Copied::Conflict(Some(at)) if at < some.len() => {
                    self.copy_or_stage(&some[..at]).await?;
                    self.stage(&some[at..=at]).await?;
                    self.copy_or_stage(&some[at + 1..]).await?;
                }
                Copied::Conflict(_) => self.stage(some).await?,
                Copied::Refused => self.store_each(some).await?,
            }
        }
        Ok(())
    }

    async fn copy_or_stage(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        match self.copy(rows).await? {
            Copied::All => Ok(()),
            Copied::Conflict(_) => self.stage(rows).await,
            Copied::Refused => self.store_each(rows).await,
        }
    }

    /// Copies all of the rows or none.
    async fn copy(&mut self, rows: &[Row]) -> Result<Copied, StoreError> {
        self.savepoint.set(self.connection).await?;
        let copied = match copy(self.connection, rows).await {
            Ok(count) if count == rows.len() as u64 => return Ok(Copied::All),
            // A trigger dropped some.
            Ok(_) => Copied::Refused,
            Err(error) => {
                let error = self.may_go_around(error)?;
                if error.sqlstate().as_deref() == Some(UNIQUE_VIOLATION) {
                    Copied::Conflict(error.copied_row())
                } else if error.is_of_a_row() {
                    Copied::Refused
                } else {
                    Copied::Conflict(None)
                }
            }
        };
        self.savepoint.roll_back(self.connection).await?;
        Ok(copied)
    }

    /// Stores rows around those that are there already, in one statement unless some are refused.
    async fn stage(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        self.savepoint.set(self.connection).await?;
        match self.insert(rows).await {
            Ok(inserted) => {
                let count: i64 = inserted.values().sum();
                // Where no trigger sees the rows, what was not inserted was there.
                if !self.rules.has_triggers || count == rows.len() as i64 {
                    self.count_duplicates(rows, &inserted);
                    return Ok(());
                }
            }
            Err(error) => self.may_go_around(error).map(drop)?,
        }
        self.savepoint.roll_back(self.connection).await?;
        self.store_each(rows).await
    }

    /// Stores rows around those that are refused.
    async fn store_each(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for some in rows.chunks(PORTION) {
            self.store_each_of(some).await?;
        }
        Ok(())
    }

    /// Stores a portion around those that are refused, and sets these aside once it is sure that it is about them.
    async fn store_each_of(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut suspects = Vec::new();
        for (row, fate) in store_each(self.connection, rows, self.rules.policy).await? {
            match fate {
                Fate::Refused(refusal) if !is_of_a_row(&refusal.code) => suspects.push((row, refusal)),
                fate => self.note(&row, fate),
            }
        }
        if suspects.is_empty() {
            return Ok(());
        }
        self.try_plain_readings(&suspects).await?;
        let again: Vec<Row> = suspects.into_iter().map(|(row, _)| row).collect();
        for (row, fate) in store_each(self.connection, &again, self.rules.policy).await? {
            self.note(&row, fate);
        }
        Ok(())
    }

    /// An error where plain readings beside one of these rows do not pass either, once for each sort of refusal.
    async fn try_plain_readings(&mut self, suspects: &[(Row, Refusal)]) -> Result<(), StoreError> {
        let mut tried: Vec<&str> = Vec::new();
        for (row, refusal) in suspects {
            if tried.contains(&refusal.code.as_str()) {
                continue;
            }
            if !plain_readings_pass(self.connection, row, refusal).await? {
                return Err(StoreError::refused("storing readings", refusal.clone()));
            }
            tried.push(&refusal.code);
        }
        Ok(())
    }

    fn note(&mut self, row: &Row, fate: Fate) {
        let partition = self.batch.partition_of(row);
        let detail = match fate {
            Fate::Duplicate => {
                *self.stored.duplicates.entry(partition).or_default() += 1;
                return;
            }
            Fate::Dropped => "a trigger dropped it".to_owned(),
            Fate::Refused(refusal) => refusal.words,
        };
        *self.stored.refused.entry(partition).or_default() += 1;
        self.stored.refused_keys.insert(row.key());
        self.rejected.push(self.batch.reject_row(row, Reject::new(Reason::RejectedByDatabase, detail)));
    }

    /// Gives back a refusal that may be one of single rows; the others end the attempt.
    fn may_go_around(&self, error: StoreError) -> Result<StoreError, StoreError> {
        if error.is_of_a_row() || (self.rules.goes_around_all && error.is_refusal()) {
            Ok(error)
        } else {
            Err(error)
        }
    }

    fn count_duplicates(&mut self, rows: &[Row], inserted: &BTreeMap<i32, i64>) {
        let mut sent: BTreeMap<i32, i64> = BTreeMap::new();
        for row in rows {
            *sent.entry(self.batch.partition_of(row)).or_default() += 1;
        }
        for (partition, count) in sent {
            let duplicates = count - inserted.get(&partition).copied().unwrap_or(0);
            if duplicates > 0 {
                *self.stored.duplicates.entry(partition).or_default() += duplicates;
            }
        }
    }

    /// Inserts rows that are not there; by policy overwrites those that are. Returns the new ones by partition.
    ///
    /// The rows arrive sorted and are inserted in that order, so that two writers meet equal keys in the same one.
    async fn insert(&mut self, rows: &[Row]) -> Result<BTreeMap<i32, i64>, StoreError> {
        let statement = match self.rules.policy {
            OnDuplicate::Ignore => INSERT_NEW,
            OnDuplicate::Overwrite => INSERT_OR_OVERWRITE,
        };
        let counts: Vec<(i32, i64)> = sqlx::query_as(statement)
            .bind(rows.iter().map(|row| row.sensor_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.value).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| PostgresTime(row.time)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| self.batch.partition_of(row)).collect::<Vec<_>>())
            .fetch_all(&mut *self.connection)
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
