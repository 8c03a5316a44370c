//! What a database URL says, as sqlx takes it.

use std::{fs::File, sync::Once};

use sqlx::postgres::PgConnectOptions;

use super::{
    StoreError,
    hosts::{self, Place, Servers, TargetSession},
    passfile,
};
use crate::config::{DatabaseUrl, UrlParts};

/// The parameters of a URL that sqlx knows.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
/// Those that name a file, or hold what it would.
const FILES: [&str; 7] =
    ["ssl-ca", "ssl-cert", "ssl-key", "ssl-root-cert", "sslcert", "sslkey", "sslrootcert"];

/// What is done over a URL's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Also writing: `DATABASE_URL`.
    Writing,
    /// Nothing but reading: `READ_DATABASE_URL`.
    Reading,
}

/// Reads a URL: its servers, in their order, and which one is wanted.
///
/// What sqlx does not know it would log with its value, which may be a misspelt password: here its name is logged. A
/// file that cannot be read is an error that names it, now and not when a connection is made.
pub(super) fn servers(url: &DatabaseUrl, purpose: Purpose) -> Result<Servers, StoreError> {
    let Some(parts) = url.parts() else {
        // Nothing of it is looked up, for a host's name may be a part of the password.
        return Err(unusable(NOT_ENCODED.to_owned()));
    };
    let known = known_parameters(parts.parameters);
    for (name, value) in form_urlencoded::parse(known.as_bytes()) {
        if FILES.contains(&&*name) && !value.trim_start().starts_with("-----BEGIN") {
            // What stands where a key's file should may be the key.
            let told = if name.ends_with("key") { "" } else { &*value };
            File::open(&*value).map_err(|error| unusable(format!("{name}={told}: {error}")))?;
        }
    }
    let places = hosts::split(parts.place, &known).map_err(unusable)?;
    let target = target_session(parts.parameters, purpose, places.len()).map_err(unusable)?;
    let each = places.iter().map(|place| options(parts, place)).collect::<Result<_, _>>()?;
    Ok(Servers { each, target })
}

/// How to connect to one server.
fn options(
    UrlParts { scheme, user, path, .. }: UrlParts<'_>,
    Place { authority, parameters }: &Place,
) -> Result<PgConnectOptions, StoreError> {
    let has = |wanted: &[&str]| {
        form_urlencoded::parse(parameters.as_bytes()).any(|(name, _)| wanted.contains(&&*name))
    };
    let has_password = user.is_some_and(|user| user.contains(':'))
        || has(&["password"])
        || std::env::var_os("PGPASSWORD").is_some();
    let authority = match user {
        // A URL with a user and no host is none to sqlx; libpq takes the host of a parameter.
        Some(user) if authority.is_empty() || authority.starts_with(':') => {
            if !has(&["host", "hostaddr"]) {
                return Err(unusable("the URL has a user and no host, nor a parameter host=".to_owned()));
            }
            format!("{user}@localhost{authority}")
        }
        Some(user) => format!("{user}@{authority}"),
        None => authority.clone(),
    };
    let options: PgConnectOptions = format!("{scheme}://{authority}{path}?{parameters}")
        .parse()
        .map_err(StoreError::new("reading the database URL"))?;
    // Set by SQL once the connection stands: PgBouncer refuses a startup message that has it.
    let options = options.extra_float_digits(None);
    Ok(match (has_password, passfile::password(&options)) {
        (false, Some(password)) => options.password(&password),
        _ => options,
    })
}

/// Which of the servers is wanted. Of several, where nothing is said, the one that takes writes: a standby would answer, too.
fn target_session(parameters: &str, purpose: Purpose, servers: usize) -> Result<TargetSession, String> {
    let named = form_urlencoded::parse(parameters.as_bytes()).filter(|(name, _)| name == TARGET_SESSION);
    let target = match (named.last(), purpose) {
        (Some((_, name)), _) => TargetSession::named(&name).ok_or_else(|| {
            format!(
                "{TARGET_SESSION} is one of any, read-write, read-only, primary, standby and prefer-standby"
            )
        })?,
        (None, Purpose::Writing) if servers > 1 => TargetSession::ReadWrite,
        (None, Purpose::Writing | Purpose::Reading) => TargetSession::Any,
    };
    match purpose {
        Purpose::Writing if target.may_be_read_only() => Err(format!(
            "{TARGET_SESSION} of DATABASE_URL is read-write, primary or any, for everything writes; only READ_DATABASE_URL \
             may lead to a standby"
        )),
        Purpose::Writing | Purpose::Reading => Ok(target),
    }
}

const NOT_ENCODED: &str = "where its parts end is not clear: percent-encode @ : / ? and # in a password (%40 %3A %2F %3F \
                           %23), and give the port as a number";
/// libpq's parameter, which is not sqlx's.
const TARGET_SESSION: &str = "target_session_attrs";

/// Those of a URL's parameters that sqlx is to see.
fn known_parameters(parameters: &str) -> String {
    /// Each attempt to connect reads the URL.
    static SAID: Once = Once::new();
    let (mut known, mut ignored) = (Vec::new(), Vec::new());
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name == "statement-cache-capacity" && value == "0" {
            // sqlx would leave each statement that it prepares on the server, for ever.
            ignored.push("statement-cache-capacity=0");
        } else if KNOWN.contains(&name) || name.starts_with("options[") {
            known.push(parameter);
        } else if name == TARGET_SESSION {
            // It is for those who choose a server.
        } else {
            // A password with a question mark in it ends up here, too.
            let is_name =
                parameter.contains('=') && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            ignored.push(if is_name { name } else { "…" });
        }
    }
    if !ignored.is_empty() {
        SAID.call_once(|| {
            tracing::warn!(parameters = ?ignored, "the database URL has parameters that are ignored here");
        });
    }
    known.join("&")
}

fn unusable(what: String) -> StoreError {
    StoreError::new("reading the database URL")(sqlx::Error::Configuration(what.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(url: &str, purpose: Purpose) -> Result<Servers, String> {
        servers(&url.parse().unwrap(), purpose).map_err(|error| format!("{error}: {}", error.cause()))
    }

    fn read(url: &str) -> Result<PgConnectOptions, String> {
        read_all(url, Purpose::Writing).map(|servers| servers.each[0].clone())
    }

    #[test]
    fn parameters_that_sqlx_does_not_know_never_reach_it() {
        let options = read("postgres://me:hush@db:1/app?pasword=hush2&dbname=other&options[role]=x").unwrap();
        assert_eq!((options.get_host(), options.get_database()), ("db", Some("other")));
        assert_eq!(options.get_options(), Some("-c role=x"));
        assert!(read("postgres://me@db/app").is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read("postgres://me:hush@db/app?sslmode=verify-full&sslrootcert=%2Fnowhere%2Fca.pem")
            .unwrap_err();
        assert!(error.contains("sslrootcert=/nowhere/ca.pem: No such file"), "{error}");
        let error = read("postgres://me@db/app?sslkey=hush").unwrap_err();
        assert!(error.contains("sslkey=: No such file"), "{error}");
        let inline = "-----BEGIN%20PRIVATE%20KEY-----hush";
        let options = read(&format!("postgres://me@db/app?sslkey={inline}"));
        assert!(options.is_ok(), "what is no file's name is not looked for");
    }

    #[test]
    fn a_socket_is_found_by_a_parameter_whoever_the_user_is() {
        for url in ["postgresql://me@/app?host=/run/pg", "postgres:///app?host=/run/pg&user=me"] {
            let options = read(url).unwrap();
            assert_eq!(options.get_socket(), Some(&"/run/pg".into()), "{url}");
            assert_eq!((options.get_username(), options.get_database()), ("me", Some("app")), "{url}");
        }
        assert_eq!(read("postgresql://me@:7/app?host=/run/pg").unwrap().get_port(), 7);
        let error = read("postgresql://me@/app").unwrap_err();
        assert!(error.contains("no host"), "{error}");
    }

    #[test]
    fn each_host_of_a_list_has_everything_else_of_the_url() {
        let read = |url: &str| read_all(url, Purpose::Writing).unwrap();
        let names = |servers: &Servers| -> Vec<(String, u16)> {
            servers.each.iter().map(|server| (server.get_host().to_owned(), server.get_port())).collect()
        };
        for url in [
            "postgres://me:hush@one:1,two:2/app?sslmode=require",
            "postgres://me:hush@/app?sslmode=require&host=one,two&port=1,2",
            "postgres:///app?host=one,two&port=1,2&user=me&password=hush&sslmode=require",
        ] {
            let servers = read(url);
            assert_eq!(names(&servers), [("one".to_owned(), 1), ("two".to_owned(), 2)], "{url}");
            assert_eq!(servers.target, TargetSession::ReadWrite, "everything writes");
            for server in &servers.each {
                assert_eq!((server.get_username(), server.get_database()), ("me", Some("app")), "{url}");
                assert!(matches!(server.get_ssl_mode(), sqlx::postgres::PgSslMode::Require), "{url}");
            }
        }
        let sockets = read("postgres://me@/app?host=/run/a,/run/b&port=7");
        let sockets: Vec<_> = sockets.each.iter().map(|server| server.get_socket().cloned()).collect();
        assert_eq!(sockets, [Some("/run/a".into()), Some("/run/b".into())]);
    }

    #[test]
    fn the_wanted_server_is_named_as_in_libpq() {
        let target = |url: &str, purpose| read_all(url, purpose).map(|servers| servers.target);
        let (one, both) = ("postgres://me@one/app?target_session_attrs=", "postgres://me@one,two/app");
        assert_eq!(target(&format!("{one}primary"), Purpose::Writing), Ok(TargetSession::Primary));
        assert_eq!(target(&format!("{one}any"), Purpose::Writing), Ok(TargetSession::Any));
        assert_eq!(target(&format!("{one}standby"), Purpose::Reading), Ok(TargetSession::Standby));
        assert_eq!(target("postgres://me@one/app", Purpose::Writing), Ok(TargetSession::Any));
        assert_eq!(target(both, Purpose::Writing), Ok(TargetSession::ReadWrite));
        assert_eq!(target(both, Purpose::Reading), Ok(TargetSession::Any));
        for (url, purpose, words) in [
            (format!("{one}standby"), Purpose::Writing, "only READ_DATABASE_URL"),
            (format!("{one}master"), Purpose::Writing, "is one of any, read-write"),
        ] {
            let refused = target(&url, purpose).unwrap_err();
            assert!(refused.contains(words), "{url}: {refused}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_said_by_name() {
        assert!(read("postgres://h/app?port=1,2").unwrap_err().contains("2 ports for 1 hosts"));
        assert!(read("postgres:///app?host=/run/a,b").is_ok());
        assert_eq!(known_parameters("statement-cache-capacity=0&port=1"), "port=1");
        assert_eq!(known_parameters("statement-cache-capacity=50"), "statement-cache-capacity=50");
    }

    #[test]
    fn no_error_repeats_what_may_be_secret() {
        for url in [
            "postgres://me:hush@db:port/app",
            "postgres://me:hu?sh@db/app",
            "postgres://me:p@hush?word@db/app",
            "postgres://me:hush@[::/app",
            "postgres://me:hush@db/app?port=hush",
            "postgres://me:hush@db/app?hostaddr=hush",
            "postgres://me:hush@db/app?statement-cache-capacity=hush",
        ] {
            let error = read(url).unwrap_err();
            assert!(!error.contains("hush") && !error.contains("hu?"), "{error}");
        }
    }
}
