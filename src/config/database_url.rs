//! The URL of a database, of which only what is no secret is ever shown.

use std::{fmt, str::FromStr};

/// A Postgres URL whose password never shows in `Debug` or `Display`.
#[derive(Clone)]
pub struct DatabaseUrl(String);

/// A URL's text at its delimiters; the parts are as they are written, percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlParts<'a> {
    /// Before `://`.
    pub scheme: &'a str,
    /// User and password, if there is an `@`.
    pub user: Option<&'a str>,
    /// Host and port.
    pub place: &'a str,
    /// The database, with its `/`, or nothing.
    pub path: &'a str,
    /// The parameters, without their `?`.
    pub parameters: &'a str,
}

impl DatabaseUrl {
    /// The URL with its secrets, for the connection alone.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL's parts; none where a delimiter may belong to a password that is not percent-encoded.
    pub fn parts(&self) -> Option<UrlParts<'_>> {
        let (scheme, rest) = self.0.split_once("://")?;
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) =
            authority.split_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let is_clear = !self.0.contains('#')
            && ![place, path, parameters].iter().any(|part| part.contains('@'))
            && place.split(',').all(has_a_clear_port);
        is_clear.then_some(UrlParts { scheme, user, place, path, parameters })
    }
}

/// Whether what follows a host's colon is a port, and not the first part of a password; an IPv6 address has colons of its
/// own, in brackets.
fn has_a_clear_port(host: &str) -> bool {
    let after_address = host.rsplit_once(']').map_or(host, |(_, after_address)| after_address);
    let port = after_address.split_once(':').map_or("", |(_, port)| port);
    port.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(Self(text.to_owned()))
        } else {
            Err("a Postgres URL starts with postgres://".to_owned())
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DatabaseUrl {
    /// Scheme, host and database; neither the user's password nor the parameters, which may hold one too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            Some(UrlParts { scheme, user, place, path, .. }) => {
                let user = if user.is_some() { "***@" } else { "" };
                write!(f, "{scheme}://{user}{place}{path}")
            }
            None => write!(f, "{}://***", self.0.split("://").next().unwrap_or("postgres")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_where_it_leads_and_no_secret() {
        for (text, shown) in [
            ("postgres://me:s3cr%40t@db:5432/app?password=hidden", "postgres://***@db:5432/app"),
            ("postgres://db/app?user=me&password=hidden", "postgres://db/app"),
            ("postgres:///app", "postgres:///app"),
            ("postgresql://me@/app?host=/run", "postgresql://***@/app"),
            ("postgres://me@[::1]:5432/app", "postgres://***@[::1]:5432/app"),
            ("postgres://one:1,two:2/app", "postgres://one:1,two:2/app"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        assert!("mysql://x".parse::<DatabaseUrl>().is_err());
    }

    #[test]
    fn a_password_that_is_not_encoded_is_not_shown_in_part() {
        for text in [
            "postgres://me:s3@cr@db/app",
            "postgres://me:s3?cr@db/app",
            "postgres://me:s3@cr?et@db/app",
            "postgres://me:s3@cr/et@db/app",
            "postgres://me:s3/cr@db/app",
            "postgres://me:s3@cr#et@db/app",
            "postgres://me:s3cret/app",
            "postgres://me:s3cret",
        ] {
            assert_eq!(text.parse::<DatabaseUrl>().unwrap().to_string(), "postgres://***", "{text}");
        }
    }
}
