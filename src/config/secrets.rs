//! What the command line and `.env` say when they are wrong, without the secrets in them.

use std::fmt;

use clap::error::{ContextKind, ContextValue};

/// The flags whose values are secret.
const SECRET_FLAGS: [&str; 3] = ["--database-url", "--read-database-url", "--api-key"];

/// An error of the command line, without the value that it is about where that one is secret.
pub(super) fn without_secrets(mut error: clap::Error) -> clap::Error {
    let is_secret = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(flag)) if SECRET_FLAGS.iter().any(|secret| flag.starts_with(secret))
    );
    if is_secret {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    error
}

/// What is wrong with `.env`; none where it is only missing.
///
/// A line that cannot be read is not repeated, for it may be the one with the password.
pub(super) fn env_file_fault(error: &dotenvy::Error) -> Option<impl fmt::Display + use<>> {
    if error.not_found() {
        return None;
    }
    Some(match error {
        // What it holds may be the value alone, without a name.
        dotenvy::Error::LineParse(..) => {
            "a line cannot be read: quote a value that has blanks or quotes in it".to_owned()
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{DatabaseConfig, HttpConfig};

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        http: HttpConfig,
        /// Of the load generator.
        #[arg(long)]
        api_key: Option<u8>,
    }

    fn refused(flag: &str, value: &str) -> String {
        without_secrets(Flags::try_parse_from(["test", flag, value]).unwrap_err()).to_string()
    }

    #[test]
    fn an_error_names_the_flag_and_not_its_secret() {
        for flag in SECRET_FLAGS {
            let error = refused(flag, "mysql://me:hush hush@db");
            assert!(error.contains(flag) && !error.contains("hush"), "{error}");
        }
        let error = refused("--http-addr", "nowhere");
        assert!(error.contains("nowhere"), "what is no secret is told: {error}");
    }

    #[test]
    fn a_line_of_the_env_file_is_not_repeated() {
        let fault = |line: &str| {
            let error = dotenvy::from_read_iter(line.as_bytes()).next().unwrap().unwrap_err();
            env_file_fault(&error).unwrap().to_string()
        };
        let told = fault("DATABASE_URL=postgres://me:hush 'hush'");
        assert!(told.contains("quote a value") && !told.contains("hush"), "{told}");
        for line in ["hush hush 'hush", "A=hush=hush 'hush"] {
            assert!(!fault(line).contains("hush"), "{line}");
        }
        let missing = dotenvy::Error::Io(std::io::ErrorKind::NotFound.into());
        assert!(env_file_fault(&missing).is_none());
    }
}
