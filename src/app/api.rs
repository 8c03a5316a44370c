//! The `api` role.

use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Operations, servers::Servers, shared_settings::SharedSettings, supervisor::Supervisor};
use crate::{
    config::HttpConfig,
    health::{Health, Need},
    http::{self, Api, KeyRing, SensorCache, Sensors, ServeLimits},
    kafka::{LogObserver, SensorTopic, producer::Producer},
    store::Pool,
};

/// Longest wait for the background tasks and the pool, once nothing depends on them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the role to its end.
///
/// Neither Kafka nor Postgres has to be there: the api says what it cannot do, and does it once they are.
pub(super) async fn run(
    Servers { database, kafka, settings }: &Servers,
    http: &HttpConfig,
    shared: &SharedSettings,
    operations: Operations,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Operations { health, metrics, log_level, supervisor, found_settings } = operations;
    let kafka_health = health.component("kafka", Need::Required);
    let producer = Producer::new(kafka, settings, http.publish_timeout, kafka_health.clone())?;
    let pool = Pool::new(database)?;
    let reads = Pool::for_reads(database, &http.queries)?;
    let known_sensors = SensorCache::new(&pool, http.known_sensors_max);
    let keys = KeyRing::new(&http.queries, database.database_pool_size);
    let key_reads = pool.beside("keys", 1);
    // What went wrong is logged; until it goes well nobody is let in.
    keys.read(&key_reads).await.ok();
    // Beside a worker they are known, and the worker reports what is set later.
    let has_to_follow = shared.running.read().is_none();
    shared.try_to_learn(&key_reads).await?;
    refuse_exposure(http, &keys)?;
    let listener = TcpListener::bind(http.http_addr)
        .await
        .with_context(|| format!("listening on {}", http.http_addr))?;

    let background_stop = CancellationToken::new();
    let background = Background {
        tasks: TaskTracker::new(),
        supervisor: supervisor.clone(),
        stop: background_stop.clone(),
    };
    let asked = || background_stop.clone();
    background.spawn("the watch over Kafka", producer.clone().watch(asked()));
    let postgres_health = health.component("postgres", Need::Optional);
    background.spawn("the watch over Postgres", pool.clone().watch(postgres_health.clone(), asked()));
    let session = health.component("postgres_session", Need::Required);
    // Nothing speaks against it before Postgres has answered.
    session.up();
    background.spawn(
        "the listener for new sensors",
        known_sensors.clone().follow(database.clone(), session, asked()),
    );
    let (exposed, keys_health) = (CancellationToken::new(), health.component("api_keys", Need::Required));
    let note_keys = {
        let (http, exposed) = (http.clone(), exposed.clone());
        move |keys: &KeyRing| {
            keys_health.up();
            if refuse_exposure(&http, keys).is_err() {
                exposed.cancel();
            }
        }
    };
    if has_to_follow {
        background.follow_settings(shared.clone(), key_reads.clone(), &health);
    }
    background.spawn("the reader of API keys", keys.clone().follow(key_reads, asked(), note_keys));
    if http.queries.read_database_url.is_some() {
        let replica = health.component("postgres_reads", Need::Optional);
        background.spawn("the watch over READ_DATABASE_URL", reads.clone().watch(replica, asked()));
    }
    let sensors = Sensors { known: known_sensors.clone(), topic: SensorTopic::open(kafka, settings)? };
    let api = Api::new(producer.clone(), pool.clone(), reads.clone(), sensors, http, &shared.running);
    background.spawn("the watch over receipts", api.watch_visibility(asked()));
    // Event streams have no end of their own: they end first, or the server would wait for them.
    let serve_stop = CancellationToken::new();
    let observer = LogObserver::new(kafka, settings);
    let live = api.serve_live(observer, kafka_health, postgres_health, found_settings, serve_stop.clone());
    background.tasks.spawn(supervisor.watch("the live pages", &serve_stop, live));
    background.tasks.close();

    let (primary, reading) = (pool.clone(), reads.clone());
    metrics.collect_with(move || {
        primary.measure();
        reading.measure();
    });
    let of_keys = keys.clone();
    metrics.append_with(move || of_keys.series());
    let router = http::router(
        api,
        keys.clone(),
        http,
        http::Operations { health: health.clone(), metrics, log_level },
    );
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let serving = http::serve(listener, router, serve_limits(http), serve_stop.clone());
    let server = tokio::spawn(supervisor.watch("the HTTP server", &serve_stop, serving));
    tokio::select! {
        () = stop.cancelled() => {}
        () = exposed.cancelled() => {}
    }

    // Not ready, then no new requests, then the requests under way, then what they left in the producer.
    health.stopping();
    serve_stop.cancel();
    server.await.context("the HTTP server")?;
    background_stop.cancel();
    let lost = producer.close(http.publish_timeout).await;
    if lost > 0 {
        tracing::warn!("{lost} records were not acknowledged; their clients got an error");
    }
    let closed = async {
        background.tasks.wait().await;
        known_sensors.close().await;
        pool.close().await;
        reads.close().await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
        tracing::warn!("the database connections did not close in time");
    }
    if exposed.is_cancelled() {
        refuse_exposure(http, &keys)?;
    }
    Ok(())
}

/// What an api does beside serving; none of it may end before the api has served its last request.
struct Background {
    tasks: TaskTracker,
    supervisor: Supervisor,
    stop: CancellationToken,
}

impl Background {
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.supervisor.watch(name, &self.stop, task));
    }

    fn follow_settings(&self, shared: SharedSettings, pool: Pool, health: &Health) {
        let known = health.component("api_settings", Need::Required);
        let following = health.component("settings", Need::Optional);
        let (supervisor, stop) = (self.supervisor.clone(), self.stop.clone());
        let reading = shared.learn_and_follow(pool, known, following, supervisor, stop);
        self.spawn("the reader of settings", reading);
    }
}

/// No more connections than files can be open: without one the api could neither reach Postgres nor Kafka again.
fn serve_limits(http: &HttpConfig) -> ServeLimits {
    /// For the pools, the Kafka clients and what they hold meanwhile.
    const FILES_OF_OURS: u64 = 200;
    let wanted = http.connections.http_max_connections;
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
    let room = usize::try_from(files.saturating_sub(FILES_OF_OURS)).unwrap_or(usize::MAX).max(1);
    if room < wanted {
        tracing::warn!("{room} connections at a time, not {wanted}: this process may open {files} files");
    }
    ServeLimits {
        connections_max: wanted.min(room),
        idle_timeout: http.connections.http_idle_timeout,
        drain_timeout: http.http_request_timeout,
    }
}

/// Without keys whoever reaches the address may do everything. Where the keys could not be read yet, the api may
/// start: it lets nobody in, and stops once it learns that there are none.
fn refuse_exposure(http: &HttpConfig, keys: &KeyRing) -> anyhow::Result<()> {
    anyhow::ensure!(
        http.http_addr.ip().is_loopback() || http.allow_anonymous || keys.are_demanded() != Some(false),
        "HTTP_ADDR={} lets anybody who reaches it write and read, for there are no API keys; make one with \
         `sensorpipe keys create`, listen on a loopback address, or say --allow-anonymous",
        http.http_addr
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::given_words, store::keys::StoredKeys};

    fn http(flags: &[&str]) -> HttpConfig {
        given_words::arguments(flags).unwrap()
    }

    #[test]
    fn an_open_address_needs_keys_or_has_to_be_asked_for() {
        let keys = KeyRing::default();
        let open = http(&["--http-addr", "0.0.0.0:0"]);
        assert!(refuse_exposure(&open, &keys).is_ok(), "nobody is let in yet");
        keys.learn(StoredKeys::default());
        assert!(refuse_exposure(&http(&["--http-addr", "127.0.0.1:0"]), &keys).is_ok());
        assert!(refuse_exposure(&http(&["--http-addr", "[::1]:0"]), &keys).is_ok());
        assert!(refuse_exposure(&http(&["--http-addr", "0.0.0.0:0", "--allow-anonymous"]), &keys).is_ok());
        let error = refuse_exposure(&open, &keys).unwrap_err();
        assert!(error.to_string().contains("--allow-anonymous"), "{error}");
        keys.learn(StoredKeys { were_made: true, keys: vec![] });
        assert!(refuse_exposure(&open, &keys).is_ok());
    }
}
