//! The api's connections to Postgres. Each query is bounded, and none is left half-done on a connection.

mod answer;
mod route;
mod watch;

use std::{
    any::Any,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use self::{
    answer::{Answer, is_of_the_session, no_answer, with_settings},
    route::Route,
};
use super::{
    Remedy, StoreError, Trouble,
    chunk_spans::{ChunkSpans, KnownChunkSpans},
    options::{Purpose, servers},
    session::Session,
};
use crate::{
    config::{DatabaseConfig, DatabaseUrl, QueryConfig},
    metrics::{POOL_CONNECTIONS, POOL_MAX_CONNECTIONS, POOL_TIMEOUTS, POOL_WAITING},
};

/// The name of the pool that only reads.
const READS: &str = "reads";

/// Longest wait for a connection, whether all are busy or Postgres does not answer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than the server's own limit a query is waited for: the server may be frozen or unreachable.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The same in all for what takes no time: ingestion waits for it.
pub(super) const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before a query that gave way is run again; twice as long each time.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

tokio::task_local! {
    static HELD: Arc<dyn Any + Send + Sync>;
}

/// Runs `work`, of which each query keeps `held` until it has ended on the server, whoever has stopped waiting for it.
pub async fn holding<F: Future>(held: Arc<dyn Any + Send + Sync>, work: F) -> F::Output {
    HELD.scope(held, work).await
}

/// A bounded pool of connections; clones share it.
///
/// A request's future is dropped when its client goes away, and a cancelled `acquire` can poison a connection
/// (sqlx 4385, 4393). So every query runs as a task of its own, and as many may as there are connections.
#[derive(Clone, Debug)]
pub struct Pool {
    /// As metrics know it.
    name: &'static str,
    /// Whether it is for more than reading.
    writes: bool,
    connections: PgPool,
    route: Route,
    session: Session,
    /// What runs begins its transactions itself.
    has_own_transactions: bool,
    permits: Arc<Semaphore>,
    /// Needed besides, where the value may take a part of the connections only.
    share: Option<Arc<Semaphore>>,
    /// Queries that wait for a permit.
    waiting: Arc<AtomicUsize>,
    statement_timeout: Duration,
    /// Whether a database that may not be written to counts as down.
    asks_for_fitness: bool,
    chunk_spans: Arc<KnownChunkSpans>,
}

/// A query in the queue, for as long as somebody waits for it.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn one_of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool that connects when it is first used; Postgres need not be there yet.
    pub fn new(config: &DatabaseConfig) -> Result<Self, StoreError> {
        Self::open(
            "primary",
            config,
            primary(config),
            config.database_pool_size,
            "sensorpipe api",
            &queries(config),
        )
    }

    /// A pool of one connection that only asks whether Postgres answers, and may be written to.
    pub fn for_probe(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let pool = Self::open("probe", config, primary(config), 1, "sensorpipe probe", &queries(config))?;
        Ok(Self { asks_for_fitness: true, ..pool })
    }

    /// A pool of one connection that only reads the shared settings.
    pub fn for_settings(config: &DatabaseConfig) -> Result<Self, StoreError> {
        Self::open("settings", config, primary(config), 1, "sensorpipe settings", &queries(config))
    }

    /// A pool of its own for queries over many readings, which may lead to a replica: they cannot take the
    /// connections that ingestion and `POST /sensors` need.
    pub fn for_reads(config: &DatabaseConfig, queries: &QueryConfig) -> Result<Self, StoreError> {
        let replica = queries.read_database_url.as_ref();
        let url = replica.map_or(primary(config), |url| (url, Purpose::Reading));
        let session = Session::of_reads(config.statement_timeout);
        Self::open(READS, config, url, config.database_pool_size, "sensorpipe api reads", &session)
    }

    /// A single connection for a command that works through dead letters.
    pub fn for_dead_letters(config: &DatabaseConfig) -> Result<Self, StoreError> {
        Self::open("commands", config, primary(config), 1, "sensorpipe dead-letters", &queries(config))
    }

    fn open(
        name: &'static str,
        config: &DatabaseConfig,
        (url, purpose): (&DatabaseUrl, Purpose),
        size: u32,
        application_name: &str,
        session: &Session,
    ) -> Result<Self, StoreError> {
        let size = size.max(1);
        let route = Route::new(url, servers(url, purpose)?.named(application_name));
        let options = route.pool_options(session).max_connections(size);
        Ok(Self {
            name,
            writes: name != READS,
            connections: options.connect_lazy_with(route.first()),
            route,
            session: session.clone(),
            has_own_transactions: false,
            permits: Arc::new(Semaphore::new(size as usize)),
            share: None,
            waiting: Arc::default(),
            statement_timeout: config.statement_timeout,
            asks_for_fitness: false,
            chunk_spans: Arc::default(),
        })
    }

    /// A pool of its own to the same database, for what must never wait behind this one's queries.
    #[must_use]
    pub fn beside(&self, name: &'static str, size: u32) -> Self {
        self.beside_with(name, self.connections.options().clone().max_connections(size))
    }

    fn beside_with(&self, name: &'static str, options: PgPoolOptions) -> Self {
        let route = self.route.named(&format!("sensorpipe api {name}"));
        Self {
            name,
            permits: Arc::new(Semaphore::new(options.get_max_connections() as usize)),
            connections: options.connect_lazy_with(route.first()),
            route,
            share: None,
            waiting: Arc::default(),
            ..self.clone()
        }
    }

    /// The same connections, of which what runs through the value takes half at most: the others are left to what writes.
    /// Of a single connection, that one.
    #[must_use]
    pub fn half(&self) -> Self {
        let half = self.connections.options().get_max_connections() / 2;
        Self { share: Some(Arc::new(Semaphore::new(half.max(1) as usize))), ..self.clone() }
    }

    /// The same connections for work that begins transactions of its own, or goes on after an error: where sessions are given
    /// away it has no transaction around it, and only the settings that it makes.
    #[must_use]
    pub(super) fn with_own_transactions(&self) -> Self {
        Self { has_own_transactions: true, ..self.clone() }
    }

    /// Whether a pooler in between gives a session to others after each transaction; known where `work` runs.
    pub(super) fn gives_sessions_away(&self) -> bool {
        self.route.gives_sessions_away()
    }

    /// Runs `work`, which may take as long as a statement may.
    pub(super) async fn run<T, W>(&self, doing: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> Answer<'c, T> + Send + 'static,
    {
        self.run_within(self.answer_timeout(), doing, work).await
    }

    /// As [`Self::read`], but the server ends a statement that takes longer than `statement_timeout`, or than any may.
    pub(super) async fn read_briefly<T, W>(
        &self,
        statement_timeout: Duration,
        doing: &'static str,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Answer<'c, T> + Clone + Send + Sync + 'static,
    {
        const LIMIT: &str = "SELECT set_config('statement_timeout', $1, true)";
        let timeout = statement_timeout.min(self.statement_timeout);
        self.read_within(timeout + ANSWER_GRACE, doing, move |connection| {
            let work = work.clone();
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                sqlx::query(LIMIT).bind(timeout.as_millis().to_string()).execute(&mut *transaction).await?;
                let answer = work(&mut transaction).await?;
                transaction.commit().await?;
                Ok(answer)
            })
        })
        .await
    }

    /// How long the answer to a statement is waited for.
    fn answer_timeout(&self) -> Duration {
        self.statement_timeout + ANSWER_GRACE
    }

    /// Runs `work` that changes nothing; again where it gave way to another transaction, such as one that drops chunks,
    /// within the time that one statement may take.
    pub(super) async fn read<T, W>(&self, doing: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Answer<'c, T> + Clone + Send + Sync + 'static,
    {
        self.read_within(self.answer_timeout(), doing, work).await
    }

    /// The same within another time.
    pub(super) async fn read_within<T, W>(
        &self,
        answer_timeout: Duration,
        doing: &'static str,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Answer<'c, T> + Clone + Send + Sync + 'static,
    {
        let deadline = Instant::now() + answer_timeout;
        let mut pause = RETRY_PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let attempt = work.clone();
            let answer = self.run_within(left, doing, move |connection| attempt(connection)).await;
            match answer {
                Err(error) if error.trouble() == Trouble::GaveWay && Instant::now() + pause < deadline => {
                    tracing::debug!("{error}: {}; retrying", error.server_message());
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
    }

    /// As [`Self::read`], of a question whose range may hold any number of chunks: with what is known of them.
    pub(super) async fn read_by_spans<Q, T, W>(
        &self,
        doing: &'static str,
        question: Q,
        work: W,
    ) -> Result<T, StoreError>
    where
        Q: Clone + Send + Sync + 'static,
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection, Q, ChunkSpans) -> Answer<'c, T> + Clone + Send + Sync + 'static,
    {
        let known_spans = Arc::clone(&self.chunk_spans);
        self.with_own_transactions()
            .read(doing, move |connection| {
                let (known_spans, question, work) =
                    (Arc::clone(&known_spans), question.clone(), work.clone());
                Box::pin(async move {
                    let spans = known_spans.get(connection).await?;
                    work(connection, question, spans).await
                })
            })
            .await
    }

    /// Runs `work` on a connection to its end, even where the caller does not wait for it; what the caller is
    /// [`holding`] is held until then.
    pub(super) async fn run_within<T, W>(
        &self,
        answer_timeout: Duration,
        doing: &'static str,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> Answer<'c, T> + Send + 'static,
    {
        let waiting = Waiting::one_of(&self.waiting);
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, self.permit()).await;
        drop(waiting);
        let Ok(Ok(permit)) = permit else {
            metrics::counter!(POOL_TIMEOUTS, "pool" => self.name).increment(1);
            return Err(StoreError::busy(doing));
        };
        let (connections, route) = (self.connections.clone(), self.route.clone());
        let session = (!self.has_own_transactions).then(|| self.session.clone());
        let held = HELD.try_with(Arc::clone).ok();
        let task = tokio::spawn(async move {
            let _held = held;
            let (mut connection, follower) =
                route.acquire(&connections).await.map_err(StoreError::new(doing))?;
            let session = session.filter(|_| route.gives_sessions_away());
            let working = with_settings(session, &mut connection, work);
            let answer = tokio::select! {
                answer = tokio::time::timeout(answer_timeout, working) => answer.ok(),
                // The server that was asked may never answer: it is dead, or no longer the primary.
                () = follower.switched() => None,
            };
            drop(permit);
            let is_to_be_closed =
                answer.as_ref().is_none_or(|answer| answer.as_ref().is_err_and(is_of_the_session));
            if is_to_be_closed {
                // It may still answer one day, and must not answer to somebody else's query.
                drop(connection.detach());
            }
            let answer = answer.unwrap_or_else(|| Err(no_answer())).map_err(StoreError::new(doing));
            if answer.as_ref().is_err_and(|error| error.remedy() == Remedy::Reconnect) {
                route.lost();
            }
            answer
        });
        task.await.unwrap_or_else(|panic| {
            Err(StoreError::new(doing)(sqlx::Error::Io(std::io::Error::other(panic))))
        })
    }

    /// A place for one query; with that of the share, where there is one.
    async fn permit(&self) -> Result<(Option<OwnedSemaphorePermit>, OwnedSemaphorePermit), AcquireError> {
        let share = match &self.share {
            Some(share) => Some(Arc::clone(share).acquire_owned().await?),
            None => None,
        };
        Ok((share, Arc::clone(&self.permits).acquire_owned().await?))
    }

    /// Sets the gauges of this pool to what is now.
    pub fn measure(&self) {
        let (size, idle) = (self.connections.size(), self.connections.num_idle());
        let used = f64::from(size) - idle as f64;
        metrics::gauge!(POOL_CONNECTIONS, "pool" => self.name, "state" => "used").set(used.max(0.0));
        metrics::gauge!(POOL_CONNECTIONS, "pool" => self.name, "state" => "idle").set(idle as f64);
        let max = self.connections.options().get_max_connections();
        metrics::gauge!(POOL_MAX_CONNECTIONS, "pool" => self.name).set(max);
        metrics::gauge!(POOL_WAITING, "pool" => self.name).set(self.waiting.load(Ordering::Relaxed) as f64);
    }

    /// Closes every connection, waiting for queries under way.
    pub fn close(&self) -> impl Future<Output = ()> + use<> {
        let connections = self.connections.clone();
        async move { connections.close().await }
    }
}

fn primary(config: &DatabaseConfig) -> (&DatabaseUrl, Purpose) {
    (&config.database_url, Purpose::Writing)
}

fn queries(config: &DatabaseConfig) -> Session {
    Session::of_queries(config.statement_timeout)
}
