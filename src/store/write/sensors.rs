//! The sensors' part of the transaction: they must exist, and go on existing until it commits.

use std::collections::HashSet;

use sqlx::{Executor, PgConnection, Row as _};

use crate::{
    batch::{Batch, Rejected, Row},
    reading::{Reason, decode::Reject},
    store::{StoreError, fitness::HAS_KEY},
};

/// Locks the sensors of all rows, in the order of their ids, with the lock that a foreign key's check takes; the ids that
/// are no sensors'.
pub(in crate::store) async fn lock_known(
    connection: &mut PgConnection,
    rows: &[Row],
) -> Result<Vec<i32>, StoreError> {
    let mut wanted: Vec<i32> = rows.iter().map(|row| row.sensor_id).collect();
    wanted.dedup();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let known: Vec<i32> = sqlx::query_scalar(
        // One that is marked as deleted is none, and its lock is not waited for.
        "SELECT sensor_id FROM sensors
         WHERE sensor_id = ANY ($1) AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
         ORDER BY sensor_id FOR KEY SHARE",
    )
    .bind(&wanted)
    .fetch_all(connection)
    .await
    .map_err(StoreError::new("locking the sensors"))?;
    let known: HashSet<i32> = known.into_iter().collect();
    wanted.retain(|id| !known.contains(id));
    Ok(wanted)
}

/// Those of the ids that are not of sensors whose readings are being deleted.
pub(super) async fn not_being_deleted(
    connection: &mut PgConnection,
    sensor_ids: &[i32],
) -> Result<Vec<i32>, StoreError> {
    sqlx::query_scalar("SELECT unnest($1::int[]) EXCEPT SELECT sensor_id FROM sensor_deletions")
        .bind(sensor_ids)
        .fetch_all(connection)
        .await
        .map_err(StoreError::new("looking for sensors that are being deleted"))
}

/// Moves the rows of ids that are no sensors' to `rejected`.
pub(in crate::store) fn set_unknown_aside(
    unknown: &[i32],
    batch: &Batch,
    rows: &mut Vec<Row>,
    rejected: &mut Vec<Rejected>,
) {
    if unknown.is_empty() {
        return;
    }
    rows.retain(|row| {
        // In the order of ids.
        let is_known = unknown.binary_search(&row.sensor_id).is_err();
        if !is_known {
            let detail = format!("there is no sensor {}", row.sensor_id);
            rejected.push(batch.reject_row(row, Reject::new(Reason::UnknownSensor, detail)));
        }
        is_known
    });
}

/// What is done about triggers in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Triggers {
    /// Somebody's triggers see each row.
    pub(in crate::store) are_there: bool,
    /// The table has the key and the columns that are written by.
    pub(super) table_is_ours: bool,
    /// Foreign keys are not checked row by row, for [`lock_known`] has done it for the whole batch.
    pub(super) are_skipped: bool,
}

/// Looks for triggers on the table and on the chunks of a batch, or on all of them where these are not known; and
/// switches the row-by-row foreign key check off for this transaction, where it may and where that check is all it
/// switches off.
///
/// A further foreign key of somebody's is checked row by row, and so the one of ours with it. What the table itself has
/// become is looked at here, too: it cannot change any more until the transaction ends.
///
/// The setting silences every ordinary trigger, so it is made only where the table and its chunks have none but the
/// database's own, and the one that does for others' SQL what [`super::days`] does for a batch; the lock, the one that
/// writing takes anyway, keeps new triggers of the table away until the transaction ends. (It is the table's alone: with
/// it the lock of each chunk would be taken.) The constraint itself stays in the schema.
pub(in crate::store) async fn check_triggers(
    connection: &mut PgConnection,
    chunks: Option<&[u32]>,
    may_skip: bool,
) -> Result<Triggers, StoreError> {
    let chunks = match chunks {
        Some(chunks) => {
            let oids: Vec<String> = chunks.iter().map(u32::to_string).collect();
            format!("tgrelid = ANY ('{{{}}}'::oid[])", oids.join(","))
        }
        None => "tgrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'sensor_data'::regclass)"
            .to_owned(),
    };
    let statement = format!(
        "LOCK TABLE ONLY sensor_data IN ROW EXCLUSIVE MODE;
         SELECT are_there, is_ours,
                CASE WHEN {may_skip} AND is_ours AND NOT are_there AND NOT EXISTS (
                         SELECT FROM pg_constraint
                         WHERE conrelid = 'sensor_data'::regclass AND contype = 'f' AND confrelid <> 'sensors'::regclass)
                     THEN set_config('session_replication_role', 'replica', true) IS NOT NULL ELSE false END
         FROM (SELECT EXISTS (
                   SELECT FROM pg_trigger
                   WHERE NOT tgisinternal AND tgname NOT IN ('ts_insert_blocker', 'sensorpipe_reopen_day', 'sensorpipe_reopen_all_days')
                     AND (tgrelid = 'sensor_data'::regclass OR {chunks})),
               {HAS_KEY} AND 3 = (
                   SELECT count(*) FROM pg_attribute
                   WHERE attrelid = 'sensor_data'::regclass AND NOT attisdropped
                     AND (attname, atttypid) IN (('sensor_id', 'int4'::regtype), ('value', 'float8'::regtype),
                                                 ('time', 'timestamptz'::regtype)))) AS found (are_there, is_ours)"
    );
    let doing = "looking at triggers";
    let row = connection.fetch_one(statement.as_str()).await.map_err(StoreError::new(doing))?;
    let flag = |column| row.try_get(column).map_err(StoreError::new(doing));
    Ok(Triggers { are_there: flag(0)?, table_is_ours: flag(1)?, are_skipped: flag(2)? })
}
