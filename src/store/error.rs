//! What can go wrong in the database, and whether to try again.

mod trouble;

pub use self::trouble::Trouble;

use std::{borrow::Cow, io::ErrorKind};

use sqlx::{
    error::{DatabaseError, ErrorKind as DatabaseErrorKind},
    postgres::{PgDatabaseError, PgSeverity},
};

use super::Unfit;

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A failed conversation with Postgres.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed")]
pub struct StoreError {
    doing: &'static str,
    #[source]
    source: sqlx::Error,
}

/// What the server said of a row that it refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{words}")]
pub(super) struct Refusal {
    /// The SQLSTATE.
    pub(super) code: String,
    /// Its message.
    pub(super) words: String,
}

impl DatabaseError for Refusal {
    fn message(&self) -> &str {
        &self.words
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.code))
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> DatabaseErrorKind {
        DatabaseErrorKind::Other
    }
}

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The connection is gone or the server is not taking work: connect anew, later.
    Reconnect,
    /// The transaction lost to another one: the same connection may try again at once.
    Retry,
    /// The row itself is refused: find it and set it aside.
    IsolateRow,
    /// A key is there already.
    UniqueViolation,
    /// Nothing that a retry mends by itself, such as a missing privilege or table; an operator must act.
    Operator,
}

impl StoreError {
    /// Wraps an error with what was being done, such as `"reading offsets"`.
    pub(super) fn new(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self { doing, source: untrusted(source) }
    }

    /// Wraps a wait that took too long.
    pub(crate) fn timed_out(doing: &'static str) -> impl FnOnce(tokio::time::error::Elapsed) -> Self {
        move |elapsed| Self { doing, source: sqlx::Error::Io(elapsed.into()) }
    }

    /// Something that had to be done first failed, and may succeed another time.
    pub(crate) fn of_another(
        doing: &'static str,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { doing, source: sqlx::Error::Io(std::io::Error::other(error)) }
    }

    /// A row's refusal, of which the server told by another way than an error of the statement.
    pub(super) fn refused(doing: &'static str, refusal: Refusal) -> Self {
        Self { doing, source: sqlx::Error::Database(Box::new(refusal)) }
    }

    /// Whether a living server said no, and the connection goes on.
    pub(super) fn is_refusal(&self) -> bool {
        let Some(error) = self.source.as_database_error() else { return false };
        match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => !matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic),
            // What is neither comes from servers that would not be connected to.
            None => error.try_downcast_ref::<Refusal>().is_some(),
        }
    }

    /// Whether it is a refusal that speaks of the row, and never of the server or of what surrounds the row.
    pub(crate) fn is_of_a_row(&self) -> bool {
        self.is_refusal() && self.sqlstate().as_deref().is_some_and(is_of_a_row)
    }

    /// Whether a living server said no to this piece of work, and may well say yes to another one: neither does the role
    /// lack a right nor the server something that all work needs.
    pub(super) fn is_of_the_work(&self) -> bool {
        self.is_refusal() && !self.is_missing_right() && self.remedy() != Remedy::Reconnect
    }

    /// Whether the transaction gave way to another one, and may succeed another time.
    pub(super) fn gave_way(&self) -> bool {
        self.trouble() == Trouble::GaveWay
    }

    /// A database that must not be written to.
    pub(super) fn unfit(unfit: Unfit) -> Self {
        let source = sqlx::Error::Configuration(Box::new(unfit));
        Self { doing: "writing to the database", source }
    }

    /// Why the database must not be written to, where that is the error.
    pub fn as_unfit(&self) -> Option<&Unfit> {
        match &self.source {
            sqlx::Error::Configuration(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// All connections of a pool were busy for too long.
    pub(super) fn busy(doing: &'static str) -> Self {
        Self { doing, source: sqlx::Error::PoolTimedOut }
    }

    /// What lies behind it, for a log line.
    pub fn cause(&self) -> String {
        self.as_unfit().map_or_else(|| self.source.to_string(), ToString::to_string)
    }

    /// The five-dead letter code where the server answered with one.
    pub fn sqlstate(&self) -> Option<String> {
        self.source.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned)
    }

    /// The row of a COPY, counted from 0, at which the server ended it, where it says so.
    ///
    /// Out of the context that it gives for people, so it is a hint and no more.
    pub(super) fn copied_row(&self) -> Option<usize> {
        let error = self.source.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        let context = error.r#where()?.lines().find(|line| line.starts_with("COPY "))?;
        let number = context.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
        number.parse::<usize>().ok()?.checked_sub(1)
    }

    /// The server's own words, without its hints; for `dead_letters.detail`.
    pub fn server_message(&self) -> String {
        self.source.as_database_error().map_or_else(|| self.cause(), |error| error.message().to_owned())
    }

    /// Whether it is the server's own answer, and not that there was none.
    pub fn is_answer(&self) -> bool {
        self.sqlstate().is_some() || self.as_unfit().is_some()
    }

    /// Whether a failed connection is what a server that is starting, or its name server, gives.
    pub(super) fn may_come_up(&self) -> bool {
        match self.sqlstate().as_deref() {
            // Starting up, shutting down, out of connections for now, or so slow that the role's own `statement_timeout` had
            // passed before it was lifted.
            Some(code) => code.starts_with("57") || code.starts_with("53"),
            // A proxy before a server that is down takes a connection and ends it: no answer where one was due.
            None => matches!(self.source, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)),
        }
    }

    /// Whether somebody held a lock for too long.
    pub(super) fn is_lock_timeout(&self) -> bool {
        /// `lock_not_available`
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        self.sqlstate().as_deref() == Some(LOCK_NOT_AVAILABLE)
    }

    /// Whether the role has not the right to do it.
    pub fn is_missing_right(&self) -> bool {
        self.sqlstate().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
    }

    /// What this failure calls for.
    pub fn remedy(&self) -> Remedy {
        match (self.sqlstate(), self.as_unfit()) {
            (Some(sqlstate), _) => remedy_for(&sqlstate),
            (None, Some(unfit)) if !unfit.may_pass() => Remedy::Operator,
            (None, _) => Remedy::Reconnect,
        }
    }

    /// Whether the same work may succeed later without anybody's help.
    pub fn is_retriable(&self) -> bool {
        match self.remedy() {
            Remedy::Reconnect | Remedy::Retry => true,
            Remedy::IsolateRow | Remedy::UniqueViolation | Remedy::Operator => false,
        }
    }
}

/// Tells a server that is not who it should be from one that does not answer: sqlx passes on as an I/O error what its
/// TLS says of a certificate, by the kind that TLS alone gives.
fn untrusted(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            let remedy = if error.to_string().contains("UnknownIssuer") {
                " (no authority that is trusted here signed it: sslrootcert in the database URL names the right one)"
            } else {
                ""
            };
            sqlx::Error::Tls(format!("{error}{remedy}").into())
        }
        error => error,
    }
}

/// Whether a sum or a square was larger than its type.
pub(super) fn is_out_of_range(error: &sqlx::Error) -> bool {
    /// `numeric_value_out_of_range`
    const OUT_OF_RANGE: &str = "22003";
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some(OUT_OF_RANGE)
}

/// Whether a statement that was prepared over this connection is not the server's, or another client's is: a pooler in
/// between gives the session away after each transaction.
pub(super) fn is_of_a_statement(error: &sqlx::Error) -> bool {
    /// `duplicate_prepared_statement`, `invalid_sql_statement_name`
    const CODES: [&str; 2] = ["42P05", "26000"];
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| CODES.contains(&&*code))
}

/// Data exceptions, violated constraints and checks of views, and what PL/pgSQL raises by itself.
pub(super) fn is_of_a_row(sqlstate: &str) -> bool {
    matches!(sqlstate.get(..2), Some("22" | "23" | "44" | "P0"))
}

/// By class, with the exceptions named; codes as in Postgres' appendix A.
fn remedy_for(sqlstate: &str) -> Remedy {
    match sqlstate {
        "23505" => Remedy::UniqueViolation,
        // serialization_failure, deadlock_detected, lock_not_available; query_canceled is a statement timeout here
        "40001" | "40P01" | "55P03" | "57014" => Remedy::Retry,
        // read_only_sql_transaction: a failover is under way
        "25006" => Remedy::Reconnect,
        _ => match &sqlstate[..2] {
            "22" | "23" => Remedy::IsolateRow,
            // connection, invalid transaction state, resources, operator intervention, system error
            "08" | "25" | "53" | "57" | "58" => Remedy::Reconnect,
            _ => Remedy::Operator,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sqlstate_decides() {
        for (sqlstate, remedy) in [
            ("23505", Remedy::UniqueViolation),
            ("23503", Remedy::IsolateRow),
            ("23514", Remedy::IsolateRow),
            ("22003", Remedy::IsolateRow),
            ("40P01", Remedy::Retry),
            ("40001", Remedy::Retry),
            ("55P03", Remedy::Retry),
            ("57014", Remedy::Retry),
            ("57P01", Remedy::Reconnect),
            ("57P03", Remedy::Reconnect),
            ("53300", Remedy::Reconnect),
            ("53100", Remedy::Reconnect),
            ("08006", Remedy::Reconnect),
            ("25P03", Remedy::Reconnect),
            ("25006", Remedy::Reconnect),
            ("42501", Remedy::Operator),
            ("42P01", Remedy::Operator),
        ] {
            assert_eq!(remedy_for(sqlstate), remedy, "{sqlstate}");
        }
    }
}
