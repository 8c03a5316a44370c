//! The `api` role.

use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Operations;
use crate::{
    config::{DatabaseConfig, HttpConfig, IngestConfig, KafkaConfig, KafkaSettings},
    health::Need,
    http::{self, Api, KnownSensors, Limits},
    kafka::producer::Producer,
    store::Pool,
};

/// Longest wait for the background tasks and the pool, once nothing depends on them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the role to its end.
///
/// Neither Kafka nor Postgres has to be there: the api says what it cannot do, and does it once they are.
pub(super) async fn run(
    database: &DatabaseConfig,
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    http: &HttpConfig,
    ingest: &IngestConfig,
    operations: Operations,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    refuse_exposure(http)?;
    let Operations { health, metrics } = operations;
    let failed = CancellationToken::new();
    let kafka_health = health.component("kafka", Need::Required);
    let producer = Producer::new(kafka, settings, http.publish_timeout, kafka_health, failed.clone())?;
    let pool = Pool::new(database)?;
    let known_sensors = KnownSensors::new(pool.clone(), http.known_sensors_max);
    let listener = TcpListener::bind(http.http_addr)
        .await
        .with_context(|| format!("listening on {}", http.http_addr))?;

    let background_stop = CancellationToken::new();
    let background = TaskTracker::new();
    background.spawn(producer.clone().watch(background_stop.clone()));
    background
        .spawn(pool.clone().watch(health.component("postgres", Need::Optional), background_stop.clone()));
    background.spawn(known_sensors.clone().warm_up(background_stop.clone()));
    let api = Api::new(producer.clone(), pool.clone(), known_sensors, Limits::new(http, ingest));
    background.spawn(api.watch_visibility(background_stop.clone()));
    background.close();

    let serve_stop = CancellationToken::new();
    let router = http::router(api, health.clone(), metrics);
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let server = tokio::spawn(http::serve(listener, router, serve_stop.clone(), http.http_request_timeout));
    tokio::select! {
        () = stop.cancelled() => {}
        () = failed.cancelled() => {}
    }

    // Not ready, then no new requests, then the requests under way, then what they left in the producer.
    health.stopping();
    serve_stop.cancel();
    server.await.context("the HTTP server")?;
    background_stop.cancel();
    let lost = producer.close(http.publish_timeout).await;
    if lost > 0 {
        tracing::warn!("{lost} records were not acknowledged; their clients were told so");
    }
    let closed = async {
        background.wait().await;
        pool.close().await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
        tracing::warn!("the database connections did not close in time");
    }
    anyhow::ensure!(!failed.is_cancelled(), "the Kafka producer failed beyond repair");
    Ok(())
}

/// There is no access control yet, so whoever reaches the address may do everything.
fn refuse_exposure(http: &HttpConfig) -> anyhow::Result<()> {
    anyhow::ensure!(
        http.http_addr.ip().is_loopback() || http.allow_anonymous,
        "HTTP_ADDR={} lets anybody who reaches it write and read, for no access control is configured; listen on a \
         loopback address, or say --allow-anonymous",
        http.http_addr
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        http: HttpConfig,
    }

    fn http(flags: &[&str]) -> HttpConfig {
        Flags::parse_from([&["api"], flags].concat()).http
    }

    #[test]
    fn an_open_address_has_to_be_asked_for() {
        assert!(refuse_exposure(&http(&["--http-addr", "127.0.0.1:0"])).is_ok());
        assert!(refuse_exposure(&http(&["--http-addr", "[::1]:0"])).is_ok());
        assert!(refuse_exposure(&http(&["--http-addr", "0.0.0.0:0", "--allow-anonymous"])).is_ok());
        let error = refuse_exposure(&http(&["--http-addr", "0.0.0.0:0"])).unwrap_err();
        assert!(error.to_string().contains("--allow-anonymous"), "{error}");
    }
}
