//! That none of a URL's servers will do, and why not.

use std::{borrow::Cow, io};

use sqlx::error::{DatabaseError, ErrorKind};

use crate::store::StoreError;

/// Why one server will not do.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    host: String,
    words: String,
    /// The SQLSTATE that it answered with.
    code: Option<String>,
    /// Whether it may pass without anybody's help.
    may_pass: bool,
}

/// Why none of them does, in their order.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{words}")]
pub(in crate::store) struct NoHost {
    words: String,
    /// What decides what is done about it.
    deciding: Option<Reason>,
}

impl Reason {
    /// It cannot be connected to.
    pub(super) fn failed(host: String, error: sqlx::Error) -> Self {
        let error = StoreError::new("connecting to Postgres")(error);
        let code = error.sqlstate();
        let mut words = error.server_message();
        if let Some(code) = &code {
            words = format!("{words} ({code})");
        }
        Self { host, words, may_pass: error.may_come_up(), code }
    }

    /// It is not the one that is wanted, or it does not answer.
    pub(super) fn passing(host: String, words: impl Into<String>) -> Self {
        Self { host, words: words.into(), code: None, may_pass: true }
    }
}

impl NoHost {
    /// Where one of the servers may come up, the failure may pass, whatever the others say.
    pub(super) fn new(reasons: &[Reason]) -> Self {
        let each: Vec<String> =
            reasons.iter().map(|Reason { host, words, .. }| format!("{host}: {words}")).collect();
        Self {
            words: format!("none of the hosts will do: {}", each.join("; ")),
            deciding: reasons.iter().find(|reason| reason.may_pass).or(reasons.first()).cloned(),
        }
    }

    /// As the error of whoever wanted to connect.
    pub(super) fn into_error(self) -> sqlx::Error {
        match &self.deciding {
            Some(Reason { code: Some(_), .. }) => sqlx::Error::Database(Box::new(self)),
            Some(Reason { may_pass: false, .. }) => sqlx::Error::Configuration(Box::new(self)),
            Some(Reason { may_pass: true, .. }) | None => {
                sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, self))
            }
        }
    }
}

impl DatabaseError for NoHost {
    fn message(&self) -> &str {
        &self.words
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.deciding.as_ref()?.code.as_deref().map(Cow::Borrowed)
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

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Remedy, Trouble, error::Refusal};

    fn error_of(reasons: &[Reason]) -> StoreError {
        StoreError::new("connecting to Postgres")(NoHost::new(reasons).into_error())
    }

    fn answer(host: &str, code: &str, words: &str) -> Reason {
        let refusal = Refusal { code: code.to_owned(), words: words.to_owned() };
        Reason::failed(host.to_owned(), sqlx::Error::Database(Box::new(refusal)))
    }

    #[test]
    fn each_host_is_named_with_its_reason() {
        let refused = sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into());
        let error = error_of(&[
            Reason::failed("one:1".to_owned(), refused),
            Reason::passing("two:2".to_owned(), "a standby (in recovery)"),
            answer("three:3", "28P01", "password authentication failed"),
        ]);
        let words = error.server_message();
        for expected in [
            "one:1: ",
            "connection refused",
            "two:2: a standby",
            "three:3: password authentication failed (28P01)",
        ] {
            assert!(words.contains(expected), "{words}");
        }
        assert_eq!(
            (error.remedy(), error.trouble()),
            (Remedy::Reconnect, Trouble::NoAnswer),
            "one may come up"
        );
        assert!(error.may_come_up() && !error.is_refusal());
    }

    #[test]
    fn the_answer_that_decides_gives_its_sqlstate() {
        let starting = answer("one:1", "57P03", "the database system is starting up");
        let no_role = answer("two:2", "28000", "no such role");
        let error = error_of(&[no_role.clone(), starting]);
        assert_eq!((error.sqlstate().as_deref(), error.remedy()), (Some("57P03"), Remedy::Reconnect));
        assert!(error.may_come_up() && !error.is_refusal());
        let error = error_of(&[no_role.clone(), no_role]);
        assert_eq!((error.sqlstate().as_deref(), error.remedy()), (Some("28000"), Remedy::Operator));
        assert!(!error.may_come_up() && error.server_message().contains("no such role"));
    }
}
