//! The listener of a process that serves no api: its metrics and probes.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    KeyRing,
    cross_site::CrossSite,
    finished, health,
    middleware::Rules,
    server::{ServeLimits, serve},
};
use crate::{health::Health, metrics::Exposition};

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
    let rules = Rules { timeout: TIMEOUT, keys: KeyRing::default(), cross_site: CrossSite::default() };
    let limits =
        ServeLimits { connections_max: CONNECTIONS_MAX, idle_timeout: IDLE_TIMEOUT, drain_timeout: TIMEOUT };
    serve(listener, finished(health::routes(health, metrics), rules), limits, stop).await;
    Ok(())
}
