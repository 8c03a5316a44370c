//! One snapshot over many statements, whose locks do not add up.
//!
//! A transaction keeps the locks of each of its statements until it ends; only what was locked since a savepoint goes
//! with a rollback to it. The snapshot stays, for it is the transaction's.

use sqlx::{Executor, PgConnection};

/// Begins the transaction; its first statement takes the snapshot. A process that is frozen inside it holds up nobody
/// but retention, and that not for long. Each statement is planned for its own bounds: a plan for any holds every chunk.
pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SET LOCAL plan_cache_mode = force_custom_plan;
    SET LOCAL jit = off;
    SAVEPOINT portion";

/// Gives back the locks of the statements so far.
pub(super) async fn release_locks(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute("ROLLBACK TO SAVEPOINT portion").await?;
    Ok(())
}
