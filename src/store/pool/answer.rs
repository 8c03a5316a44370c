//! What comes of a query.

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::store::session::Session;

/// What comes of a query.
pub(super) type Answer<'c, T> = BoxFuture<'c, Result<T, sqlx::Error>>;

/// Runs `work`, in a transaction that makes these settings, where there is no session that has them.
pub(super) async fn with_settings<T, W>(
    session: Option<Session>,
    connection: &mut PgConnection,
    work: W,
) -> Result<T, sqlx::Error>
where
    W: for<'c> FnOnce(&'c mut PgConnection) -> Answer<'c, T>,
{
    let Some(session) = session else { return work(connection).await };
    let mut transaction = session.begin(connection).await?;
    let answer = work(&mut transaction).await?;
    transaction.commit().await?;
    Ok(answer)
}

/// Whether a new session may fare better, for settings are those of the moment of connecting: read-only, a search path
/// that leads nowhere.
pub(super) fn is_of_the_session(error: &sqlx::Error) -> bool {
    /// `read_only_sql_transaction`, `undefined_table`, `undefined_function`, `invalid_schema_name`
    const CODES: [&str; 4] = ["25006", "42P01", "42883", "3F000"];
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| CODES.contains(&&*code))
}

pub(super) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "Postgres does not answer"))
}
