//! `target_session_attrs` of a database URL: which of its servers will do. Names and meanings are libpq's.

use sqlx::{Executor as _, PgConnection, Row as _};

/// Which server is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) enum TargetSession {
    /// The first that answers.
    Any,
    /// One that takes writes: neither a standby nor read-only by default.
    ReadWrite,
    /// One that takes none.
    ReadOnly,
    /// One that is no standby.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or any where none answers.
    PreferStandby,
}

impl TargetSession {
    /// As it stands in a URL.
    pub(in crate::store) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => return None,
        })
    }

    /// Whether a server that takes no writes may be what is wanted.
    pub(in crate::store) fn may_be_read_only(self) -> bool {
        match self {
            Self::ReadOnly | Self::Standby | Self::PreferStandby => true,
            Self::Any | Self::ReadWrite | Self::Primary => false,
        }
    }

    /// What is looked for, one after the other, until a server has it.
    pub(super) fn passes(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }

    /// What a server has to be to stay the one that is used.
    pub(in crate::store) fn kept(self) -> Self {
        if self == Self::PreferStandby { Self::Any } else { self }
    }

    /// What is against this server.
    pub(in crate::store) async fn mismatch(
        self,
        connection: &mut PgConnection,
    ) -> Result<Option<&'static str>, sqlx::Error> {
        if self == Self::Any {
            return Ok(None);
        }
        // Without a prepared statement: a pooler may have given the session to somebody else by then.
        let server = connection
            .fetch_one("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
            .await?;
        Ok(self.mismatch_of(server.try_get(0)?, server.try_get(1)?))
    }

    /// Asks for an answer; whether it comes from a server that has become a standby where a primary is wanted.
    pub(in crate::store) async fn has_become_standby(
        self,
        connection: &mut PgConnection,
    ) -> Result<bool, sqlx::Error> {
        let is_standby: bool = connection.fetch_one("SELECT pg_is_in_recovery()").await?.try_get(0)?;
        Ok(is_standby && matches!(self, Self::ReadWrite | Self::Primary))
    }

    fn mismatch_of(self, is_standby: bool, is_read_only: bool) -> Option<&'static str> {
        match self {
            Self::ReadWrite | Self::Primary if is_standby => Some("a standby (in recovery)"),
            Self::ReadWrite if is_read_only => Some("read-only (default_transaction_read_only is on)"),
            Self::ReadOnly if !is_read_only => Some("takes writes"),
            Self::Standby if !is_standby => Some("not a standby"),
            Self::Any
            | Self::ReadWrite
            | Self::ReadOnly
            | Self::Primary
            | Self::Standby
            | Self::PreferStandby => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_what_libpq_says_it_is() {
        /// A primary, a primary that is read-only by default, and a standby, which is always read-only.
        const SERVERS: [(bool, bool); 3] = [(false, false), (false, true), (true, true)];
        for (name, accepted) in [
            ("any", [true, true, true]),
            ("read-write", [true, false, false]),
            ("read-only", [false, true, true]),
            ("primary", [true, true, false]),
            ("standby", [false, false, true]),
        ] {
            let target = TargetSession::named(name).unwrap();
            let found = SERVERS
                .map(|(is_standby, is_read_only)| target.mismatch_of(is_standby, is_read_only).is_none());
            assert_eq!(found, accepted, "{name}");
        }
        assert_eq!(TargetSession::named("master"), None);
    }

    #[test]
    fn a_standby_is_preferred_and_whatever_was_found_is_kept() {
        let target = TargetSession::named("prefer-standby").unwrap();
        assert_eq!(target.passes(), [TargetSession::Standby, TargetSession::Any]);
        assert_eq!(target.kept(), TargetSession::Any);
    }
}
