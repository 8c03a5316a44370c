//! Whether Postgres answers, asked now and then over a connection that is for nothing else.

use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{LOOK_UP_TIMEOUT, Pool};
use crate::{
    health::Component,
    store::{StoreError, Trouble, fitness},
};

/// How often Postgres is asked: when it answered last time, and when it did not.
const PROBE_INTERVAL_UP: Duration = Duration::from_secs(5);
const PROBE_INTERVAL_DOWN: Duration = Duration::from_secs(1);

/// How long the probe's connection lives: what a database says of new sessions, old ones do not hear.
const PROBE_LIFETIME: Duration = Duration::from_secs(60);

/// What is said of a database that answers and cannot be written to: a standby, or one with a nearly full disk.
const READ_ONLY: &str = "the database is read-only";

impl Pool {
    /// Asks Postgres for an answer now and then, until `stop`, and tells `postgres` what came of it. Of a database that
    /// takes no writes it says so, unless this pool only reads.
    ///
    /// It asks over a connection of its own: a pool whose connections are all busy is no outage.
    pub async fn watch(self, postgres: Component, stop: CancellationToken) {
        let probing = self.probing();
        loop {
            let (asks_for_fitness, writes) = (self.asks_for_fitness, self.writes);
            let answer = probing
                .run_within(LOOK_UP_TIMEOUT, "probing", move |connection| {
                    Box::pin(probe(connection, asks_for_fitness, writes))
                })
                .await;
            let interval = match answer {
                Ok(None) => {
                    postgres.up();
                    PROBE_INTERVAL_UP
                }
                Ok(Some(reason)) => {
                    postgres.down(reason);
                    self.route.lost();
                    // What a database says of new sessions, old ones do not hear. The one that was asked is on its way
                    // back: it is waited for.
                    let asked = tokio::time::timeout(LOOK_UP_TIMEOUT, probing.connections.acquire()).await;
                    if let Ok(Ok(asked)) = asked {
                        drop(asked.detach());
                    }
                    while let Some(idle) = self.connections.try_acquire() {
                        drop(idle.detach());
                    }
                    PROBE_INTERVAL_DOWN
                }
                Err(error) => {
                    postgres.down(probing.reason(error).await.for_operator());
                    PROBE_INTERVAL_DOWN
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
                return probing.close().await;
            }
        }
    }

    /// The pool over which [`Pool::watch`] asks.
    fn probing(&self) -> Self {
        // There is nothing else that this one is for.
        if self.asks_for_fitness {
            return self.clone();
        }
        let options = self.connections.options().clone().max_connections(1).max_lifetime(PROBE_LIFETIME);
        self.beside_with("probe", options)
    }

    /// What keeps this pool from an answer. It goes on connecting until its time is up, whatever the server says to it,
    /// such as that it has too many connections: a single attempt tells.
    async fn reason(&self, error: StoreError) -> StoreError {
        if error.trouble() != Trouble::NoAnswer {
            return error;
        }
        match tokio::time::timeout(LOOK_UP_TIMEOUT, self.route.try_connecting()).await {
            Ok(Err(refused)) => StoreError::new("connecting to Postgres")(refused),
            Ok(Ok(())) | Err(_) => error,
        }
    }
}

/// What is against writing, where that is what the pool is for.
async fn probe(
    connection: &mut PgConnection,
    asks_for_fitness: bool,
    writes: bool,
) -> Result<Option<String>, sqlx::Error> {
    if asks_for_fitness {
        return Ok(fitness::ask(connection).await?.map(|unfit| unfit.to_string()));
    }
    let is_read_only: bool = sqlx::query_scalar("SELECT current_setting('transaction_read_only') = 'on'")
        .fetch_one(connection)
        .await?;
    Ok((is_read_only && writes).then(|| READ_ONLY.to_owned()))
}
