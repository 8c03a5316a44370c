//! The readings' part of the transaction: COPY, and what is done where it meets a conflict or a refusal.

use std::collections::BTreeMap;

use sqlx::{Executor, PgConnection};

use super::copy::copy;
use crate::{
    batch::{Batch, Rejected, Row},
    reading::{OnDuplicate, Reason, decode::Reject},
    store::{StoreError, error::Remedy, postgres_time::PostgresTime},
};

/// What became of the rows.
#[derive(Debug, Default)]
pub(in crate::store) struct Stored {
    /// Rows that were in the table already, by partition.
    pub(in crate::store) duplicates: BTreeMap<i32, i64>,
    /// Rows that the database refused, by partition.
    pub(in crate::store) refused: BTreeMap<i32, i64>,
    /// Whether the staged way was taken.
    pub(in crate::store) met_conflicts: bool,
}

/// What storing rows needs to know besides them.
pub(in crate::store) struct Storing<'a> {
    pub(in crate::store) batch: &'a Batch,
    pub(in crate::store) policy: OnDuplicate,
}

impl Storing<'_> {
    /// Stores sorted rows with distinct keys. Straight COPY first, unless conflicts are expected.
    pub(in crate::store) async fn store(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
        expects_conflicts: bool,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Stored, StoreError> {
        let mut stored = Stored::default();
        if !expects_conflicts {
            savepoint(connection).await?;
            match copy(connection, rows).await {
                Ok(()) => return Ok(stored),
                Err(error) => match error.remedy() {
                    Remedy::UniqueViolation | Remedy::IsolateRow => {
                        roll_back_to_savepoint(connection).await?;
                    }
                    Remedy::Reconnect | Remedy::Retry | Remedy::Operator => return Err(error),
                },
            }
        }
        stored.met_conflicts = true;
        self.store_staged(connection, rows, rejected, &mut stored).await?;
        Ok(stored)
    }

    /// Stores rows around those that are there already, and around those that the database refuses: halves that
    /// fail are halved again until the row is alone.
    async fn store_staged(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
        rejected: &mut Vec<Rejected>,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        let mut pending = vec![rows];
        while let Some(some) = pending.pop() {
            savepoint(connection).await?;
            let error = match self.insert(connection, some).await {
                Ok(inserted) => {
                    self.count_duplicates(some, &inserted, stored);
                    continue;
                }
                Err(error) => error,
            };
            match error.remedy() {
                Remedy::IsolateRow | Remedy::UniqueViolation => roll_back_to_savepoint(connection).await?,
                Remedy::Reconnect | Remedy::Retry | Remedy::Operator => return Err(error),
            }
            if let [row] = some {
                rejected.push(
                    self.batch
                        .reject_row(row, Reject::new(Reason::RejectedByDatabase, error.server_message())),
                );
                *stored.refused.entry(self.batch.partition_of(row)).or_default() += 1;
            } else {
                let (left, right) = some.split_at(some.len() / 2);
                pending.extend([right, left]);
            }
        }
        Ok(())
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

/// The planner takes a list of unknown length for a short one; joining two long ones by nested loops takes minutes.
async fn savepoint(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection
        .execute("SAVEPOINT readings; SET LOCAL enable_nestloop = off")
        .await
        .map_err(StoreError::new("setting a savepoint"))?;
    Ok(())
}

async fn roll_back_to_savepoint(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection
        .execute("ROLLBACK TO SAVEPOINT readings; RELEASE SAVEPOINT readings")
        .await
        .map_err(StoreError::new("rolling back to a savepoint"))?;
    Ok(())
}
