//! The arguments of `sensorpipe keys`.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};

use super::DatabaseConfig;
use crate::access::Scope;

/// What to do with API keys.
#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
    /// Make a key and print its token, once: it is kept nowhere
    Create(CreateKey),
    /// Show the keys that hold, without their tokens
    List(ListKeys),
    /// End a key; the api turns it away within a second or two, and ends its event streams and exports
    Revoke(RevokeKey),
}

/// A key that is to be made.
#[derive(Args, Clone, Debug)]
pub struct CreateKey {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,

    /// What people and metrics call it
    #[arg(long, value_parser = parse_name)]
    pub name: String,

    /// What it allows; may be given again. `admin` allows everything
    #[arg(long = "scope", value_enum, required = true, value_delimiter = ',')]
    pub scopes: Vec<Scope>,

    /// Most requests in a second; no bound where not given
    #[arg(long, value_name = "REQUESTS_PER_SECOND")]
    pub rate: Option<NonZeroU32>,
}

/// Which keys to show.
#[derive(Args, Clone, Debug)]
pub struct ListKeys {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,

    /// Also those that were revoked
    #[arg(long)]
    pub all: bool,
}

/// The key to end.
#[derive(Args, Clone, Debug)]
pub struct RevokeKey {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would go into --help")]
    pub database: DatabaseConfig,

    /// Its name
    #[arg(value_parser = parse_name)]
    pub name: String,
}

/// It becomes a label of metrics and stands in log lines.
fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 64 letters, digits, dots, dashes and underscores".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given_words::command;

    #[test]
    fn scopes_are_given_one_by_one_or_as_a_list() {
        for words in
            ["create --name a.b-c_1 --scope ingest --scope read", "create --name a.b-c_1 --scope ingest,read"]
        {
            let Ok(KeysCommand::Create(key)) = command(words) else { panic!("{words}") };
            assert_eq!(key.scopes, [Scope::Ingest, Scope::Read]);
            assert_eq!(key.rate, None);
        }
    }

    #[test]
    fn a_key_needs_a_name_and_a_scope() {
        for words in [
            "create --name a",
            "create --scope read",
            "create --name a/b --scope read",
            "create --name a --scope fly",
            "create --name a --scope read --rate 0",
            "revoke",
        ] {
            assert!(command::<KeysCommand>(words).is_err(), "{words}");
        }
    }
}
