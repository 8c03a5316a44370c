//! What a database URL says, as sqlx takes it.

use std::fs::File;

use sqlx::postgres::PgConnectOptions;

use super::StoreError;
use crate::config::DatabaseUrl;

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
    let (place, parameters) = url.expose().split_once('?').unwrap_or((url.expose(), ""));
    let mut known = Vec::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
        if KNOWN.contains(&name) || name.starts_with("options[") {
            known.push(parameter);
        } else {
            // A password with a question mark in it ends up here, too.
            let is_name =
                parameter.contains('=') && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let parameter = if is_name { name } else { "…" };
            tracing::warn!(parameter, "the database URL has a parameter that is not known here");
        }
    }
    let known = known.join("&");
    for (name, value) in form_urlencoded::parse(known.as_bytes()) {
        if FILES.contains(&&*name) && !value.trim_start().starts_with("-----BEGIN") {
            // What stands where a key's file should may be the key.
            let told = if name.ends_with("key") { "" } else { &*value };
            File::open(&*value).map_err(|error| unusable(format!("{name}={told}: {error}")))?;
        }
    }
    format!("{place}?{known}").parse().map_err(StoreError::new("reading the database URL"))
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
    fn no_error_repeats_what_may_be_secret() {
        for url in [
            "postgres://me:hush@db:port/app",
            "postgres://me:hu?sh@db/app",
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
