//! Which of a URL's servers is the one to talk to: found in the order of the list, kept for as long as it will do, and
//! found anew when it does not.
//!
//! What is known is known to the whole process, for each list: one connection that meets a dead host, or one that has become
//! a standby, is enough for all of them to follow.

mod host_list;
mod no_host;
mod target_session;

pub(super) use self::{
    host_list::{Place, split},
    no_host::NoHost,
    target_session::TargetSession,
};

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{ConnectOptions, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{OnceCell, watch},
    time::{Instant, sleep, timeout},
};

use self::no_host::Reason;
use super::sessions::{self, Sessions};
use crate::config::DatabaseUrl;

/// How long a host may take to connect before the next one is tried; less where there are many.
const HOST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all of them may take, so that it is within the time that a connection has.
const LIST_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause between two searches that find nothing.
const SEARCH_INTERVAL: Duration = Duration::from_millis(500);
/// How long a search goes on for which nobody waits; the next failure begins another one.
const SEEK_TIME: Duration = Duration::from_secs(30);

/// The servers of a URL, in its order.
#[derive(Clone)]
pub(super) struct Servers {
    /// How to connect to each.
    pub(super) each: Vec<PgConnectOptions>,
    /// Which one is wanted.
    pub(super) target: TargetSession,
}

/// What a process knows of a list of hosts.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The server that was found last.
    found: watch::Sender<Option<Found>>,
    /// Held by the one who searches.
    last_failure: tokio::sync::Mutex<Option<(Instant, NoHost)>>,
    /// Whether it is being looked for in the background.
    is_sought: watch::Sender<bool>,
    /// Whether what lies between keeps sessions, once that was asked.
    sessions: OnceCell<Sessions>,
}

/// The server to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its place in the list.
    pub(super) index: usize,
    /// Since when it is this one; another server, or the same another time, has another moment.
    since: Instant,
}

/// Tells the owner of a connection when it leads to a server that is not the one to talk to any more.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    found: watch::Receiver<Option<Found>>,
    /// The one that the connection leads to; none where there is one server, whatever it is.
    own: Option<Found>,
}

impl Servers {
    /// With a name for the connections.
    pub(super) fn named(self, application_name: &str) -> Self {
        let each = self.each.into_iter().map(|options| options.application_name(application_name));
        // A query over many readings may well take a second.
        let each = each.map(ConnectOptions::disable_statement_logging).collect();
        Self { each, ..self }
    }

    /// Whether there is nothing to choose.
    pub(super) fn is_any_of_one(&self) -> bool {
        self.each.len() == 1 && self.target == TargetSession::Any
    }

    fn host_timeout(&self) -> Duration {
        HOST_TIMEOUT.min(LIST_TIMEOUT / self.each.len() as u32)
    }

    /// A server's address, as errors name it.
    fn host(&self, index: usize) -> String {
        let options = &self.each[index];
        let port = options.get_port();
        options.get_socket().map_or_else(
            || format!("{}:{port}", options.get_host()),
            |socket| format!("{} port {port}", socket.display()),
        )
    }

    /// Connects to one of them, if it is what is wanted.
    async fn try_one(&self, index: usize, target: TargetSession) -> Result<PgConnection, Reason> {
        let connecting = async {
            let mut connection = self.each[index].connect().await?;
            let mismatch = target.mismatch(&mut connection).await?;
            Ok((connection, mismatch))
        };
        match timeout(self.host_timeout(), connecting).await {
            Ok(Ok((connection, None))) => Ok(connection),
            Ok(Ok((connection, Some(mismatch)))) => {
                connection.close().await.ok();
                Err(Reason::passing(self.host(index), mismatch))
            }
            Ok(Err(error)) => Err(Reason::failed(self.host(index), error)),
            Err(_elapsed) => {
                let seconds = self.host_timeout().as_secs_f32();
                Err(Reason::passing(self.host(index), format!("no answer within {seconds} s")))
            }
        }
    }
}

impl fmt::Debug for Servers {
    /// Without what else is in the options, such as a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.each.len()).map(|index| self.host(index))).finish()
    }
}

impl Hosts {
    /// What this process knows of a URL's servers: the same for all who want the same of them.
    pub(super) fn of(url: &DatabaseUrl, target: TargetSession) -> Arc<Self> {
        type Known = HashMap<(String, TargetSession), Arc<Hosts>>;
        static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        Arc::clone(KNOWN.lock().entry((url.expose().to_owned(), target)).or_default())
    }

    /// Connects to the server that is wanted.
    pub(super) async fn connect(
        self: &Arc<Self>,
        servers: &Servers,
    ) -> Result<(PgConnection, Follower), sqlx::Error> {
        if servers.is_any_of_one() {
            return Ok((servers.each[0].connect().await?, self.follower(None)));
        }
        // Whoever stops waiting must not stop the search: it would never get past a host that is silent.
        let (hosts, servers) = (Arc::clone(self), servers.clone());
        let reaching = tokio::spawn(async move { hosts.reach(&servers).await });
        let reached = reaching.await.map_err(|panic| sqlx::Error::Io(io::Error::other(panic)))?;
        let (connection, found) = reached.map_err(NoHost::into_error)?;
        Ok((connection, self.follower(Some(found))))
    }

    /// The server that was found last; none before the first.
    pub(super) fn found(&self) -> Option<Found> {
        *self.found.borrow()
    }

    /// Whether what lies between keeps sessions; asked once a process, over a connection on which nothing was set yet.
    pub(super) async fn sessions(
        &self,
        connection: &mut PgConnection,
        servers: &Servers,
        follower: &Follower,
    ) -> Sessions {
        let options = follower.server_of(servers);
        let asking = async move {
            let sessions = sessions::ask(connection, options).await?;
            if sessions != Sessions::Kept {
                tracing::info!(
                    "a pooler in front of Postgres gives sessions away after each transaction (pool_mode = transaction); \
                     the api makes its settings in each transaction, and reads the sensors every few seconds"
                );
            }
            Ok::<_, sqlx::Error>(sessions)
        };
        // Where another connection is not to be had, the next one asks.
        self.sessions.get_or_try_init(|| asking).await.copied().unwrap_or(Sessions::Kept)
    }

    /// The same, where it was asked.
    pub(super) fn known_sessions(&self) -> Option<Sessions> {
        self.sessions.get().copied()
    }

    /// Whether a connection of this age was made before the last switch.
    pub(super) fn has_switched_since(&self, age: Duration) -> bool {
        self.found().is_some_and(|found| age > found.since.elapsed())
    }

    /// For a connection to this one.
    pub(super) fn follower(&self, own: Option<Found>) -> Follower {
        Follower { found: self.found.subscribe(), own }
    }

    /// Looks in the background for the server that is wanted, until it is found; by one task, however many ask.
    pub(super) fn seek(self: &Arc<Self>, servers: &Arc<Servers>) {
        if self.is_sought.send_replace(true) {
            return;
        }
        let (hosts, servers) = (Arc::clone(self), Arc::clone(servers));
        tokio::spawn(async move {
            let deadline = Instant::now() + SEEK_TIME;
            while Instant::now() < deadline {
                match hosts.reach(&servers).await {
                    Ok((connection, _)) => {
                        connection.close().await.ok();
                        break;
                    }
                    Err(_) => sleep(SEARCH_INTERVAL).await,
                }
            }
            hosts.is_sought.send_replace(false);
        });
    }

    /// Waits until nobody looks for it any more: what connects meanwhile may wait for a host that is dead.
    pub(super) async fn is_settled(&self) {
        self.is_sought.subscribe().wait_for(|is_sought| !is_sought).await.ok();
    }

    /// The server of last time, where it is still what is wanted, or else the first that is.
    async fn reach(&self, servers: &Servers) -> Result<(PgConnection, Found), NoHost> {
        let Some(found) = self.found() else { return self.search(servers, None).await };
        match servers.try_one(found.index, servers.target.kept()).await {
            Ok(connection) => Ok((connection, found)),
            Err(reason) => self.search(servers, Some((found, reason))).await,
        }
    }

    /// Tries all of them but the one that was tried just now. Of several who search at a time one does, and the others take
    /// what it has found.
    async fn search(
        &self,
        servers: &Servers,
        tried: Option<(Found, Reason)>,
    ) -> Result<(PgConnection, Found), NoHost> {
        let mut last_failure = self.last_failure.lock().await;
        if let Some(found) = self.found()
            && tried.as_ref().is_none_or(|(tried, _)| *tried != found)
        {
            drop(last_failure);
            let connected = servers.try_one(found.index, servers.target.kept()).await;
            return connected.map(|connection| (connection, found)).map_err(|reason| NoHost::new(&[reason]));
        }
        if let Some((when, failure)) = &*last_failure
            && when.elapsed() < SEARCH_INTERVAL
        {
            return Err(failure.clone());
        }
        let mut reasons = vec![];
        for &target in servers.target.passes() {
            reasons.clear();
            for index in 0..servers.each.len() {
                if let Some((_, reason)) = tried.as_ref().filter(|(tried, _)| tried.index == index) {
                    reasons.push(reason.clone());
                    continue;
                }
                match servers.try_one(index, target).await {
                    Ok(connection) => {
                        *last_failure = None;
                        return Ok((connection, self.switch_to(servers, index)));
                    }
                    Err(reason) => reasons.push(reason),
                }
            }
        }
        let failure = NoHost::new(&reasons);
        *last_failure = Some((Instant::now(), failure.clone()));
        Err(failure)
    }

    /// Notes which one it is, and tells all who follow.
    fn switch_to(&self, servers: &Servers, index: usize) -> Found {
        let found = Found { index, since: Instant::now() };
        if let Some(before) = self.found.send_replace(Some(found)) {
            tracing::warn!(
                db.host = servers.host(index),
                db.host_before = servers.host(before.index),
                "Postgres has switched to another host; connections follow"
            );
        }
        found
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            found: watch::Sender::new(None),
            last_failure: tokio::sync::Mutex::default(),
            is_sought: watch::Sender::new(false),
            sessions: OnceCell::new(),
        }
    }
}

impl Follower {
    /// The server that the connection leads to; none where there is only one.
    pub(super) fn own(&self) -> Option<Found> {
        self.own
    }

    /// How to connect to that server once more.
    pub(super) fn server_of<'s>(&self, servers: &'s Servers) -> &'s PgConnectOptions {
        &servers.each[self.own.map_or(0, |found| found.index)]
    }

    /// Whether the server to talk to is another one by now.
    pub(super) fn is_behind(&self) -> bool {
        self.own.is_some() && *self.found.borrow() != self.own
    }

    /// Ends once it is.
    pub(super) async fn switched(&self) {
        let mut found = self.found.clone();
        if self.own.is_none() || found.wait_for(|found| *found != self.own).await.is_err() {
            // One server is never another one.
            std::future::pending::<()>().await;
        }
    }
}
