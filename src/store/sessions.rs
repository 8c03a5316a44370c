//! Whether a session stays ours: a pooler in between may give it to somebody else after each transaction.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::time::timeout;

/// How often both are asked: another client's transaction may be in between.
const ROUNDS: u32 = 3;
/// Longest that the questions may take. A pooler that keeps sessions may have none left for a second connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What lies between us and Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sessions {
    /// Nothing, or what keeps a session for its client, as far as can be seen.
    Kept,
    /// A pooler that keeps it for a transaction (`pool_mode = transaction`), or for a statement.
    GivenAway,
}

/// Asks over a connection that nothing was set on yet, and over another one beside it, which backend answers.
///
/// Two clients that are there at once never have the same backend, nor does one client have two, unless they are given to
/// whoever needs one.
pub(super) async fn ask(first: &mut PgConnection, options: &PgConnectOptions) -> Result<Sessions, sqlx::Error> {
    let asking = async {
        let mut second = options.connect().await?;
        let mut own = None;
        let mut sessions = Sessions::Kept;
        for _ in 0..ROUNDS {
            let of_first = backend_pid(first).await?;
            if backend_pid(&mut second).await? == of_first || own.replace(of_first).is_some_and(|own| own != of_first) {
                sessions = Sessions::GivenAway;
                break;
            }
        }
        second.close().await.ok();
        Ok(sessions)
    };
    timeout(ANSWER_TIMEOUT, asking).await.unwrap_or(Ok(Sessions::Kept))
}

/// Without a prepared statement, which a pooler may not know.
async fn backend_pid(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    connection.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)
}
