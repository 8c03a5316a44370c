//! Accepts connections and drains them at the end.
//!
//! `axum::serve` bounds neither the time in which a request's head has to arrive, nor that in which a client takes
//! its answer, nor the number of connections, so the loop is our own, over hyper.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::{normal_path, unread_body};

/// Most bytes of a request's head, its line with the address included; a larger one is 431.
const HEAD_MAX_BYTES: usize = 24 << 10;
/// What a connection holds of its client's bytes: a head that does not end, or a part of a body. hyper's own bound would
/// let thousands of clients hold gigabytes. hyper's buffer begins with 8 KiB and grows by 16 KiB next, so that this is all
/// that it takes; it would double for a little more.
pub(super) const BUFFER_BYTES: usize = HEAD_MAX_BYTES;
/// Pause after a failed accept, which mostly means that this process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections are held to.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Most of them at a time; the next one waits in the kernel's queue.
    pub connections_max: usize,
    /// Longest wait for a request's head, which is also how long a connection may idle between two requests; and
    /// longest time in which a client takes nothing of an answer.
    pub idle_timeout: Duration,
    /// Longest wait for the requests under way when it stops.
    pub drain_timeout: Duration,
}

/// Serves until `stop`, then waits for the requests under way.
pub async fn serve(listener: TcpListener, router: Router, limits: ServeLimits, stop: CancellationToken) {
    let ServeLimits { connections_max, idle_timeout, drain_timeout } = limits;
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let permits = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (router, stop, abort) = (router.clone(), stop.clone(), abort.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = serve_connection(stream, router, idle_timeout, stop) => {}
                        () = abort.cancelled() => {}
                    }
                    drop(permit);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!("a connection cannot be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!("{} connections are cut off", connections.len());
        abort.cancel();
        connections.wait().await;
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    idle_timeout: Duration,
    stop: CancellationToken,
) {
    // Answers are small; Nagle's algorithm would hold each back for up to 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(idle_timeout));
    let ended = serve_requests(&mut stream, router, idle_timeout, &stop).await;
    if let Err(error) = &ended {
        tracing::debug!("a connection broke off: {error}");
    }
    // Nothing of an idle client's is on its way.
    let was_answered = ended.as_ref().map_or_else(hyper::Error::is_parse, |()| true);
    if was_answered {
        tokio::select! {
            () = unread_body::linger(&mut stream, idle_timeout) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Answers one request after the other, until either side ends the connection.
async fn serve_requests(
    stream: &mut Pin<Box<TimeoutStream<TcpStream>>>,
    router: Router,
    idle_timeout: Duration,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let (unread_sender, unread_bodies) = unread_body::unread_bodies();
    let service = service_fn(move |mut request: Request<Incoming>| {
        normal_path::normalize(request.uri_mut());
        router.clone().call(unread_sender.attach(request))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_timeout)
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let discarding = unread_bodies.discard(idle_timeout, stop);
    let serving = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    tokio::select! {
        ended = serving => ended,
        never = discarding => match never {},
    }
}

/// The client went away between its SYN and our accept; nothing is wrong here.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
