//! The `keys` command: who may use the api.

use anyhow::ensure;
use chrono::{DateTime, SecondsFormat, Utc};

use super::SCHEMA_PATIENCE;
use crate::{
    access::{Scope, Token},
    config::{CreateKey, KeysCommand, ListKeys, RevokeKey},
    store::{
        self,
        keys::{KeyStore, ListedKey, StoredKey},
    },
};

/// Does what was asked for and says so; a token goes to stdout and nowhere else.
pub(super) async fn run(command: KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::Create(create) => make(create).await,
        KeysCommand::List(list) => show(&list).await,
        KeysCommand::Revoke(revoke) => end(&revoke).await,
    }
}

async fn make(create: CreateKey) -> anyhow::Result<()> {
    store::wait_for_schema(&create.database, SCHEMA_PATIENCE).await?;
    let token = Token::generate()?;
    let (token_id, token_hash) = token.parts();
    let key = StoredKey {
        name: create.name,
        token_id,
        token_hash,
        scopes: create.scopes.into_iter().collect(),
        requests_per_second: create.rate,
    };
    KeyStore::open(&create.database).await?.create(&key).await?;
    tracing::info!(key = key.name, "key made; this is the only time that its token is shown");
    println!("{}", token.expose());
    Ok(())
}

async fn show(list: &ListKeys) -> anyhow::Result<()> {
    let keys = KeyStore::open(&list.database).await?.list(list.all).await?;
    println!("{:<24} {:<13} {:<18} {:>7} {:<20} revoked", "name", "id", "scopes", "rate", "made");
    for ListedKey { key, created_at, revoked_at } in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(Scope::as_str).collect();
        let rate = key.requests_per_second.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
        println!(
            "{:<24} {:<13} {:<18} {:>7} {:<20} {}",
            key.name,
            key.token_id.as_str(),
            scopes.join(","),
            rate,
            day_and_time(created_at),
            revoked_at.map_or_else(|| "-".to_owned(), day_and_time)
        );
    }
    Ok(())
}

async fn end(revoke: &RevokeKey) -> anyhow::Result<()> {
    let was_there = KeyStore::open(&revoke.database).await?.revoke(&revoke.name).await?;
    ensure!(was_there, "there is no valid key {}", revoke.name);
    println!("key {} is revoked", revoke.name);
    Ok(())
}

fn day_and_time(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
