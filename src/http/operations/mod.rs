//! What is asked of the process itself: its health, its metrics, its log level; and the listener of a process that serves
//! nothing else.

mod health;
mod log_level;

use std::{io, net::SocketAddr, time::Duration};

use axum::extract::FromRef;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::routes;

pub(super) use self::log_level::LogLevelApi;
use crate::{
    access::{Scope, Scopes},
    health::Health,
    http::server::{Access, KeyRing, Routes, ServeLimits, origins::CrossSite, router, serve},
    metrics::Exposition,
};

/// The routes that are asked of the process itself.
pub(super) fn routes<S>() -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Health: FromRef<S>,
    Exposition: FromRef<S>,
    LogLevelApi: FromRef<S>,
{
    let log_level = Routes::only_for(Scopes::one(Scope::Admin))
        .route(Access::key(Scope::Admin), routes!(log_level::show, log_level::change));
    probes().merge(log_level)
}

/// What Kubernetes and Prometheus ask.
fn probes<S>() -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Health: FromRef<S>,
    Exposition: FromRef<S>,
{
    Routes::new()
        .route(Access::Probe, routes!(health::alive))
        .route(Access::Probe, routes!(health::ready))
        .route(Access::Probe, routes!(health::render))
}

/// What the probes of a worker need.
#[derive(Clone)]
struct Probed {
    health: Health,
    metrics: Exposition,
}

impl FromRef<Probed> for Health {
    fn from_ref(probed: &Probed) -> Self {
        probed.health.clone()
    }
}

impl FromRef<Probed> for Exposition {
    fn from_ref(probed: &Probed) -> Self {
        probed.metrics.clone()
    }
}

/// Serves a worker's `/metrics`, `/healthz` and `/readyz` until `stop`.
pub async fn serve_operations(
    address: SocketAddr,
    health: Health,
    metrics: Exposition,
    stop: CancellationToken,
) -> io::Result<()> {
    /// None of the three waits for anything.
    const TIMEOUT: Duration = Duration::from_secs(5);
    /// Far more than probes and scrapes need; the worker's own connections come first.
    const CONNECTIONS_MAX: usize = 100;
    /// Longer than the pause between two scrapes, so that Prometheus keeps its connection.
    const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
    let listener = TcpListener::bind(address).await?;
    // They are open to all: a ring without keys lets nobody in anywhere else.
    let routes = probes().with_state(Probed { health, metrics });
    let served = router(routes, TIMEOUT, KeyRing::default(), CrossSite::default());
    let limits =
        ServeLimits { connections_max: CONNECTIONS_MAX, idle_timeout: IDLE_TIMEOUT, drain_timeout: TIMEOUT };
    serve(listener, served, limits, stop).await;
    Ok(())
}
