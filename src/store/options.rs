//! What a database URL says, as sqlx takes it.

use std::{fs::File, sync::Once};

use sqlx::postgres::PgConnectOptions;

use super::{StoreError, passfile};
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

/// Reads a URL.
///
/// What sqlx does not know it would log with its value, which may be a misspelt password: here its name is logged. A
/// file that cannot be read is an error that names it, now and not when a connection is made.
pub(super) fn options(url: &DatabaseUrl) -> Result<PgConnectOptions, StoreError> {
    let Some(UrlParts { scheme, user, place, path, parameters }) = url.parts() else {
        // Nothing of it is looked up, for a host's name may be a part of the password.
        return Err(unusable(NOT_ENCODED.to_owned()));
    };
    let known = known_parameters(parameters);
    let mut has_password =
        user.is_some_and(|user| user.contains(':')) || std::env::var_os("PGPASSWORD").is_some();
    let (mut has_host, mut hosts) = (false, place.to_owned());
    for (name, value) in form_urlencoded::parse(known.as_bytes()) {
        match &*name {
            "password" => has_password = true,
            "host" | "hostaddr" => {
                has_host = true;
                // A socket's folder may have a comma in its name.
                if !value.starts_with('/') {
                    hosts += &value;
                }
            }
            "port" => hosts += &value,
            _ => {}
        }
        if FILES.contains(&&*name) && !value.trim_start().starts_with("-----BEGIN") {
            // What stands where a key's file should may be the key.
            let told = if name.ends_with("key") { "" } else { &*value };
            File::open(&*value).map_err(|error| unusable(format!("{name}={told}: {error}")))?;
        }
    }
    if hosts.contains(',') {
        return Err(unusable(HOST_LIST.to_owned()));
    }
    let authority = match user {
        // A URL with a user and no host is none to sqlx; libpq takes the host of a parameter.
        Some(user) if place.is_empty() || place.starts_with(':') => {
            if !has_host {
                return Err(unusable("the URL has a user and no host, nor a parameter host=".to_owned()));
            }
            format!("{user}@localhost{place}")
        }
        Some(user) => format!("{user}@{place}"),
        None => place.to_owned(),
    };
    let options: PgConnectOptions = format!("{scheme}://{authority}{path}?{known}")
        .parse()
        .map_err(StoreError::new("reading the database URL"))?;
    Ok(match (has_password, passfile::password(&options)) {
        (false, Some(password)) => options.password(&password),
        _ => options,
    })
}

const NOT_ENCODED: &str = "where its parts end is not clear: percent-encode @ : / ? and # in a password (%40 %3A %2F %3F \
                           %23), and give the port as a number";
const HOST_LIST: &str = "a list of hosts is not supported: name one host, such as a proxy or a DNS name that leads to the \
                         primary";

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

    fn read(url: &str) -> Result<PgConnectOptions, String> {
        options(&url.parse().unwrap()).map_err(|error| format!("{error}: {}", error.cause()))
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
    fn what_cannot_be_done_is_said_by_name() {
        for url in
            ["postgres://me@one:1,two:2/app", "postgres:///app?host=one,two", "postgres://h/app?port=1,2"]
        {
            let error = read(url).unwrap_err();
            assert!(error.contains("a list of hosts"), "{url}: {error}");
        }
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
