//! The sequence of sensor ids, which goes back where its database does.

use sqlx::PgConnection;

/// Most ids that are skipped at a time.
const SKIPPED_AT_MOST: i64 = 1_000_000;

/// Takes ids, and makes nothing of them, up to one that is taken: only the sequence's owner may set it.
///
/// Whoever made the table by hand may give out ids without a sequence.
pub(super) async fn skip(connection: &mut PgConnection, up_to: i32) -> Result<(), sqlx::Error> {
    const SQL: &str = "SELECT max(nextval(name)) FROM (
            SELECT name, least($2, greatest(0, $1 - coalesce(pg_sequence_last_value(name), 0))) AS ids
            FROM (SELECT pg_get_serial_sequence('sensors', 'sensor_id')::regclass AS name) AS found
            WHERE name IS NOT NULL) AS sequence, generate_series(1, ids)";
    sqlx::query(SQL).bind(i64::from(up_to)).bind(SKIPPED_AT_MOST).execute(connection).await.map(drop)
}
