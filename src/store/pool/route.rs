//! Which server a pool's connections lead to.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use sqlx::{
    Connection as _, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

use super::{ACQUIRE_TIMEOUT, answer::no_answer};
use crate::{
    config::DatabaseUrl,
    store::{
        Unfit,
        hosts::{Follower, Found, Hosts, Servers},
        session::Session,
        sessions::Sessions,
    },
};

/// How long an idle connection has to answer before it is closed and another one made.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the first query waits until it is known what lies between.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// When a connection is not to be had after so long, it is asked whether another host is the one by now.
const SLOW: Duration = Duration::from_millis(200);

/// The servers of a pool's URL, and the one that new connections lead to.
#[derive(Clone, Debug)]
pub(super) struct Route {
    hosts: Arc<Hosts>,
    servers: Arc<Servers>,
    led_to: Arc<Mutex<Option<Found>>>,
}

impl Route {
    pub(super) fn new(url: &DatabaseUrl, servers: Servers) -> Self {
        Self { hosts: Hosts::of(url, servers.target), servers: Arc::new(servers), led_to: Arc::default() }
    }

    /// The same for another pool, whose connections have another name.
    pub(super) fn named(&self, application_name: &str) -> Self {
        Self {
            hosts: Arc::clone(&self.hosts),
            servers: Arc::new(Servers::clone(&self.servers).named(application_name)),
            led_to: Arc::default(),
        }
    }

    /// How to connect before anything is known.
    pub(super) fn first(&self) -> PgConnectOptions {
        self.servers.each[0].clone()
    }

    /// The rules of a pool: a connection is used again where it answers in time and leads to the server to talk to.
    pub(super) fn pool_options(&self, session: &Session) -> PgPoolOptions {
        let (session, after_connect, route) = (session.clone(), self.clone(), self.clone());
        PgPoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                let session = session.clone();
                // What was set on a session that is given away would be set for others.
                let keeps_session = after_connect.hosts.known_sessions() != Some(Sessions::GivenAway);
                Box::pin(async move { if keeps_session { session.set(connection).await } else { Ok(()) } })
            })
            // Its own test waits for as long as the whole pool may take.
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let route = route.clone();
                Box::pin(async move {
                    if route.hosts.has_switched_since(meta.age) {
                        return Ok(false);
                    }
                    let answer = if route.is_any_of_one() {
                        timeout(ANSWER_TIMEOUT, connection.ping()).await.map(|pinged| pinged.map(|()| false))
                    } else {
                        timeout(ANSWER_TIMEOUT, route.servers.target.has_become_standby(connection)).await
                    };
                    let may_be_used = matches!(answer, Ok(Ok(false)));
                    if !may_be_used {
                        tracing::debug!("an idle connection to Postgres is closed: {answer:?}");
                        route.lost();
                    }
                    Ok(may_be_used)
                })
            })
    }

    fn is_any_of_one(&self) -> bool {
        self.servers.is_any_of_one()
    }

    /// A connection of the pool, and what tells that it leads to the wrong server by now.
    pub(super) async fn acquire(
        &self,
        connections: &PgPool,
    ) -> Result<(PoolConnection<Postgres>, Follower), sqlx::Error> {
        // A connection that is there is tried first, whatever is searched for: a server may serve it and take no further one.
        if connections.num_idle() == 0 && timeout(ACQUIRE_TIMEOUT, self.hosts.is_settled()).await.is_err() {
            return Err(no_answer());
        }
        self.ask_for_sessions().await?;
        let mut follower = self.lead(connections).await?;
        let mut acquiring = std::pin::pin!(connections.acquire());
        let mut slow = std::pin::pin!(sleep(SLOW));
        let mut is_slow = false;
        let acquired = loop {
            tokio::select! {
                acquired = &mut acquiring => break acquired,
                // An attempt that goes on takes the new host.
                () = follower.switched() => follower = self.lead(connections).await?,
                () = &mut slow, if !is_slow => {
                    is_slow = true;
                    self.lost();
                }
            }
        };
        match acquired {
            Ok(connection) => Ok((connection, follower)),
            Err(error) => {
                self.lost();
                // A permit was to be had, so a connection is not waited for but made.
                Err(if matches!(error, sqlx::Error::PoolTimedOut) { no_answer() } else { error })
            }
        }
    }

    /// Whether sessions are given away; known once a connection was acquired.
    pub(super) fn gives_sessions_away(&self) -> bool {
        self.hosts.known_sessions() == Some(Sessions::GivenAway)
    }

    /// Asks, before the first connection is made, whether what lies between keeps sessions.
    async fn ask_for_sessions(&self) -> Result<(), sqlx::Error> {
        if self.hosts.known_sessions().is_none() {
            let asking = async {
                let (mut connection, follower) = self.hosts.connect(&self.servers).await?;
                self.hosts.sessions(&mut connection, &self.servers, &follower).await;
                connection.close().await
            };
            timeout(ASK_TIMEOUT, asking).await.unwrap_or_else(|_| Err(no_answer()))?;
        }
        if self.hosts.known_sessions() == Some(Sessions::GivenAwayWithStatements) {
            return Err(sqlx::Error::Configuration(Box::new(Unfit::NoStatements)));
        }
        Ok(())
    }

    /// Makes new connections lead to the server to talk to, which is searched for where none was found yet.
    async fn lead(&self, connections: &PgPool) -> Result<Follower, sqlx::Error> {
        if self.is_any_of_one() {
            return Ok(self.hosts.follower(None));
        }
        let follower = match self.hosts.found() {
            Some(found) => self.hosts.follower(Some(found)),
            None => self.hosts.connect(&self.servers).await?.1,
        };
        let mut led_to = self.led_to.lock();
        if *led_to != follower.own() {
            *led_to = follower.own();
            if let Some(found) = follower.own() {
                connections.set_connect_options(self.servers.each[found.index].clone());
            }
        }
        Ok(follower)
    }

    /// A single attempt, outside of the pool.
    pub(super) async fn try_connecting(&self) -> Result<(), sqlx::Error> {
        self.hosts.connect(&self.servers).await.map(drop)
    }

    /// To be called where a connection fails: the server to talk to may be another one.
    pub(super) fn lost(&self) {
        if !self.is_any_of_one() {
            self.hosts.seek(&self.servers);
        }
    }
}
