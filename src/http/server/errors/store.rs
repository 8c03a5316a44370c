//! What a failed conversation with the database is to a client, and to the operator.
//!
//! A client learns whether to come again, and nothing of tables or statements. The log has the server's words: of what
//! goes on and on once in a while, of what nobody expects each time.

use super::ApiError;
use crate::{
    reminder::Reminders,
    store::{StoreError, Trouble},
};

/// By SQLSTATE, or by kind where the server did not answer.
static SAID: Reminders = Reminders::new();

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        log(&error);
        match error.trouble() {
            Trouble::NoAnswer => Self::Unavailable("The database does not answer now.".into()),
            Trouble::Busy => Self::Unavailable("All connections to the database are busy.".into()),
            Trouble::ReadOnly => {
                Self::Unavailable("The database is read-only now. Nothing was changed.".into())
            }
            Trouble::TooLong => {
                Self::Unavailable("The database took longer than STATEMENT_TIMEOUT allows.".into())
            }
            Trouble::GaveWay => {
                Self::Unavailable("Others change the same data now. Nothing was changed.".into())
            }
            Trouble::Limit { .. } => {
                Self::Unavailable("The database has reached a limit that its operator has to raise.".into())
            }
            Trouble::Failing => Self::Unavailable("The database cannot answer this now.".into()),
            Trouble::Unexpected => Self::Internal,
        }
    }
}

/// Says what happened, to those who can do something about it.
pub(in crate::http) fn log(error: &StoreError) {
    let (sqlstate, message) = (error.sqlstate(), error.server_message());
    let kind = sqlstate.as_deref().unwrap_or("none");
    match error.trouble() {
        Trouble::Unexpected => tracing::error!(db.sqlstate = sqlstate, "{error}: {message}"),
        // That it is down is said when it begins and when it is over, by who asks it now and then.
        Trouble::NoAnswer => tracing::debug!(db.sqlstate = sqlstate, "{error}: {message}"),
        Trouble::Limit { .. } if SAID.is_due(kind) => {
            tracing::warn!(db.sqlstate = sqlstate, "{error}; clients get 503: {}", error.for_operator());
        }
        Trouble::TooLong if SAID.is_due(kind) => {
            tracing::warn!(
                db.sqlstate = sqlstate,
                "{error}; the client gets 503: {message}; raise STATEMENT_TIMEOUT if the query is legitimate"
            );
        }
        Trouble::Busy if SAID.is_due("busy") => {
            tracing::warn!(
                "{error}; clients get 503: all connections are busy; raise DATABASE_POOL_SIZE if \
                 Postgres has room for more"
            );
        }
        Trouble::ReadOnly | Trouble::GaveWay | Trouble::Failing if SAID.is_due(kind) => {
            tracing::warn!(db.sqlstate = sqlstate, "{error}; clients get 503: {message}");
        }
        Trouble::Limit { .. }
        | Trouble::TooLong
        | Trouble::Busy
        | Trouble::ReadOnly
        | Trouble::GaveWay
        | Trouble::Failing => {
            tracing::debug!(db.sqlstate = sqlstate, "{error}: {message}");
        }
    }
}
