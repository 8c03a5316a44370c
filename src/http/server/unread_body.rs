//! Reads and discards what a request's handler leaves of the body, so that the client gets its answer.
//!
//! A handler that refuses a request (401, 404, 413, 503 …) often answers before the client has sent the whole body. To
//! close the connection at that moment resets it, and the reset destroys an answer that the client has not read yet:
//! it sees `broken pipe` instead of a status, and tries again at once. So a handler's [`RequestBody`] gives what it
//! leaves to the connection, which discards it while the answer is on its way. A connection that got to the body's end
//! serves its next request. The bounds are below; past them the connection is closed.
//!
//! A client that waits for `100 Continue` has not sent its body and is not asked for it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{Request, header::EXPECT},
};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Most bytes of a body that are discarded: four times the largest body that is accepted by default. A client that reads
/// while it sends has its answer by then; one that sends everything first gets it up to this size.
const DISCARD_MAX_BYTES: u64 = 64 << 20;
/// Longest time for which a body is discarded (nginx' `lingering_time`), and longest pause of its client (Apache's, 2 s). The
/// connection counts as one of `HTTP_MAX_CONNECTIONS` meanwhile, and `HTTP_IDLE_TIMEOUT` bounds both as well: whoever
/// dribbles a refused body holds no more than whoever sends nothing.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE_TIMEOUT: Duration = Duration::from_secs(2);
/// What is left of that time once the process stops: enough for a client near by to read its answer.
const STOPPING_TIMEOUT: Duration = Duration::from_secs(1);
const BUFFER_BYTES: usize = 16 << 10;

/// A connection's two ends for bodies that are not read to their end.
pub(super) fn unread_bodies() -> (UnreadSender, UnreadBodies) {
    // A connection has one request at a time, and the next one begins where this one's body ends.
    let (sender, receiver) = mpsc::channel(1);
    (UnreadSender(sender), UnreadBodies(receiver))
}

/// Takes what handlers leave.
#[derive(Clone)]
pub(super) struct UnreadSender(mpsc::Sender<Incoming>);

impl UnreadSender {
    /// The same request, whose body comes back here if its handler drops it before the end.
    pub(super) fn attach(&self, request: Request<Incoming>) -> Request<RequestBody> {
        let awaits_continue = request.headers().contains_key(EXPECT);
        request.map(|body| RequestBody {
            rest: (!body.is_end_stream()).then_some(body),
            awaits_continue,
            unread: self.clone(),
        })
    }
}

/// A request's body.
pub(super) struct RequestBody {
    /// None at the end, and after an error.
    rest: Option<Incoming>,
    /// The client sends its body once it has heard `100 Continue`, which is what reading from it says.
    awaits_continue: bool,
    unread: UnreadSender,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaits_continue = false;
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take()
            && !self.awaits_continue
            && !rest.is_end_stream()
        {
            // Where the connection is gone, so is its client.
            let _ = self.unread.0.try_send(rest);
        }
    }
}

/// Discards what handlers leave.
pub(super) struct UnreadBodies(mpsc::Receiver<Incoming>);

impl UnreadBodies {
    /// Discards body after body for as long as it is polled, beside the connection that they come from.
    pub(in crate::http) async fn discard(
        mut self,
        idle_timeout: Duration,
        stop: &CancellationToken,
    ) -> Infallible {
        while let Some(body) = self.0.recv().await {
            let stopping = async {
                stop.cancelled().await;
                sleep(STOPPING_TIMEOUT).await;
            };
            // Dropping it says to hyper that nobody wants the rest.
            tokio::select! {
                () = discard_one(body, PAUSE_TIMEOUT.min(idle_timeout)) => {}
                () = sleep(DISCARD_TIMEOUT.min(idle_timeout)) => {}
                () = stopping => {}
            }
        }
        std::future::pending().await
    }
}

async fn discard_one(mut body: Incoming, pause_timeout: Duration) {
    let mut discarded_bytes = 0;
    while discarded_bytes <= DISCARD_MAX_BYTES
        && let Ok(Some(Ok(frame))) = timeout(pause_timeout, body.frame()).await
    {
        discarded_bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
}

/// Closes a connection for writing and discards what its client still sends, until it closes as well.
///
/// For what hyper refuses by itself (a head that is malformed or too large), and for clients that announce
/// `Expect: 100-continue` and do not wait for it: the rest of such a request is on its way when the answer is.
pub(super) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), idle_timeout: Duration) {
    let until_closed = async {
        stream.shutdown().await?;
        let (mut buffer, mut discarded_bytes) = (vec![0; BUFFER_BYTES], 0);
        while discarded_bytes <= DISCARD_MAX_BYTES {
            match timeout(PAUSE_TIMEOUT, stream.read(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => discarded_bytes += read as u64,
                _ => break,
            }
        }
        std::io::Result::Ok(())
    };
    // An error says that the client is gone.
    let _ = timeout(DISCARD_TIMEOUT.min(idle_timeout), until_closed).await;
}
