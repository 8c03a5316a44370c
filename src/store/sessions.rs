//! Whether a session stays ours: a pooler in between may give it to somebody else after each transaction.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions,
};
use tokio::time::timeout;

use super::error::is_of_a_statement;

/// How often both are asked: another client's transaction may be in between.
const ROUNDS: u32 = 3;
/// Longest that the questions may take. A pooler that keeps sessions may have none left for a second connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// What lies between us and Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sessions {
    /// Nothing, or what keeps a session for its client, as far as can be seen.
    Kept,
    /// A pooler that keeps it for a transaction (`pool_mode = transaction`), and each client's prepared statements besides.
    GivenAway,
    /// A pooler that keeps neither.
    GivenAwayWithStatements,
}

/// Asks over a connection that nothing was set on yet, and over another one beside it, which backend answers.
///
/// Two clients that are there at once never have the same backend, nor does one client have two, unless they are given to
/// whoever needs one.
pub(super) async fn ask(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<Sessions, sqlx::Error> {
    let asking = async {
        let mut second = options.connect().await?;
        let sessions = if !are_given_away(first, &mut second).await? {
            Sessions::Kept
        } else if are_statements_kept(first, &mut second).await? {
            Sessions::GivenAway
        } else {
            Sessions::GivenAwayWithStatements
        };
        second.close().await.ok();
        Ok(sessions)
    };
    timeout(ANSWER_TIMEOUT, asking).await.unwrap_or(Ok(Sessions::Kept))
}

async fn are_given_away(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut of_first_before = None;
    for _ in 0..ROUNDS {
        let of_first = backend_pid(first).await?;
        let has_changed = of_first_before.replace(of_first).is_some_and(|before| before != of_first);
        if has_changed || backend_pid(second).await? == of_first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two clients may prepare two statements: under the same name, for sqlx counts for each connection.
async fn are_statements_kept(
    first: &mut PgConnection,
    second: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    for _ in 0..ROUNDS {
        let answers = [
            sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *first).await,
            sqlx::query_scalar::<_, i32>("SELECT 2").fetch_one(&mut *second).await,
        ];
        for (answer, expected) in answers.into_iter().zip([1, 2]) {
            match answer {
                Ok(answer) if answer == expected => {}
                // It is the other one's, or there is none.
                Ok(_) => return Ok(false),
                Err(error) if is_of_a_statement(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(true)
}

/// Without a prepared statement, which a pooler may not know.
async fn backend_pid(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    connection.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)
}
