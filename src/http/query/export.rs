//! Answers that are too large to hold: read page by page, and sent as the client takes them.
//!
//! No cursor is open on the server and no transaction: between two pages an export holds neither a connection nor a
//! snapshot, so a slow client costs the database nothing, and a database that restarts costs the client nothing but
//! time. An export holds three pages at most: one being read or written, one that waits, one on its way out.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderValue,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use futures_util::stream;
use metrics::counter;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{export_format::Format, query_failed};
use crate::{
    config::QueryConfig,
    http::server::{ApiError, Client, Held, Resource},
    metrics::EXPORTS,
    reading::Reading,
    store::{
        Pool, StoreError,
        queries::{PageQuery, readings},
    },
};

/// Readings in a page: some 300 KB of text, and a few milliseconds of a connection.
const PAGE_READINGS: usize = 5_000;
/// Pause before the database is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Longest time that one export may take; it is then cut off so that the client sees it. A client that takes its answer
/// slowly holds one of few places; whoever wants more than an hour's worth asks for it in parts.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// How many exports may be under way, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Exports {
    permits: Arc<Semaphore>,
    /// How long one waits for its client to take more, or for the database to come back.
    stall_timeout: Duration,
}

/// A part of the answer.
enum Piece {
    Text(Bytes),
    /// Nothing is missing. An answer that breaks off without it is cut off, so that nobody takes it for complete.
    End,
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
enum CutOff {
    #[error("the client is gone")]
    ClientGone,
    #[error("the client took nothing for too long")]
    ClientStalled,
    #[error("the export took longer than it may")]
    TooLong,
    #[error("its API key was revoked")]
    KeyRevoked,
    #[error("{}: {}", .0, .0.server_message())]
    Store(#[from] StoreError),
}

impl Exports {
    pub(super) fn new(config: &QueryConfig) -> Self {
        let permits = Arc::new(Semaphore::new(config.exports_max));
        Self { permits, stall_timeout: config.export_stall_timeout }
    }

    /// The readings of `page`, as many as its limit says. The first of them are read before anything is answered: an
    /// error that shows early has a status. None where there are no readings at all.
    ///
    /// The client holds one of its share of exports meanwhile.
    pub(super) async fn start(
        &self,
        client: &Client,
        pool: &Pool,
        page: PageQuery,
        format: Format,
    ) -> Result<Option<Response>, ApiError> {
        let held = client.hold(Resource::Export)?;
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Err(ApiError::Unavailable("The limit of exports under way is reached.".into()));
        };
        let sensor_id = page.sensor_id;
        let mut export = Export { pool: pool.clone(), rest: page, format, stall_timeout: self.stall_timeout };
        let first = export.next_page().await.map_err(query_failed)?;
        if first.is_empty() {
            return Ok(None);
        }
        let (sender, receiver) = mpsc::channel(1);
        let ended = client.ended().clone();
        tokio::spawn(export.send(first, sender, ended.clone(), (permit, held)));
        Ok(Some(response(format, sensor_id, body(receiver, ended))))
    }
}

/// An answer without readings.
pub(super) fn empty(format: Format, sensor_id: i32) -> Response {
    response(format, sensor_id, Body::from(format.head()))
}

fn response(format: Format, sensor_id: i32, body: Body) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, format.content_type());
    let name = format!("attachment; filename=\"sensor-{sensor_id}.{}\"", format.extension());
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}

/// The pieces, until the client's key is revoked: not even what is read by then goes out.
fn body(receiver: mpsc::Receiver<Piece>, ended: CancellationToken) -> Body {
    Body::from_stream(stream::unfold(Some((receiver, ended)), |going_on| async {
        let (mut receiver, ended) = going_on?;
        let piece = tokio::select! {
            biased;
            () = ended.cancelled() => None,
            piece = receiver.recv() => piece,
        };
        match piece {
            Some(Piece::Text(text)) => Some((Ok(text), Some((receiver, ended)))),
            Some(Piece::End) => None,
            // The server then closes the connection in the middle of the chunked body.
            None => Some((Err(io::Error::other("the export broke off")), None)),
        }
    }))
}

/// Says why, and what the metric calls it.
fn cut_off(sensor_id: i32, error: &CutOff) -> &'static str {
    tracing::warn!(sensor.id = sensor_id, "an export is cut off: {error}");
    "cut_off"
}

/// An export under way.
struct Export {
    pool: Pool,
    /// What is still to be read.
    rest: PageQuery,
    format: Format,
    stall_timeout: Duration,
}

impl Export {
    /// Sends everything; the permits are held until the last page is handed over, or the client is given up.
    async fn send(
        self,
        first: Vec<Reading>,
        sender: mpsc::Sender<Piece>,
        ended: CancellationToken,
        permits: (OwnedSemaphorePermit, Held),
    ) {
        let deadline = Instant::now() + TIMEOUT;
        let sensor_id = self.rest.sensor_id;
        let sent = tokio::select! {
            biased;
            () = ended.cancelled() => Err(CutOff::KeyRevoked),
            sent = timeout_at(deadline, self.send_pages(first, &sender)) => sent.unwrap_or(Err(CutOff::TooLong)),
        };
        let outcome = match sent {
            Ok(()) => "complete",
            // The body has heard of it first, and takes nothing any more.
            Err(CutOff::ClientGone) if ended.is_cancelled() => cut_off(sensor_id, &CutOff::KeyRevoked),
            Err(CutOff::ClientGone) => {
                tracing::debug!(sensor.id = sensor_id, "an export's client is gone");
                "client_gone"
            }
            Err(error) => cut_off(sensor_id, &error),
        };
        counter!(EXPORTS, "outcome" => outcome).increment(1);
        drop(permits);
    }

    async fn send_pages(mut self, first: Vec<Reading>, sender: &mpsc::Sender<Piece>) -> Result<(), CutOff> {
        let mut text = self.format.head().to_owned();
        let mut page = first;
        loop {
            text.push_str(&self.format.lines(&page));
            self.hand_over(sender, Piece::Text(std::mem::take(&mut text).into())).await?;
            if page.len() < PAGE_READINGS || self.rest.limit == 0 {
                return self.hand_over(sender, Piece::End).await;
            }
            page = self.next_page_patiently(sender).await?;
        }
    }

    async fn hand_over(&self, sender: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), CutOff> {
        match timeout(self.stall_timeout, sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(CutOff::ClientGone),
            Err(_elapsed) => Err(CutOff::ClientStalled),
        }
    }

    /// The next readings; a page that is not full is the last one.
    async fn next_page(&mut self) -> Result<Vec<Reading>, StoreError> {
        let limit = PAGE_READINGS.min(self.rest.limit);
        let page = readings(&self.pool, PageQuery { limit, ..self.rest.clone() }).await?;
        if let Some(last) = page.last() {
            self.rest =
                PageQuery { limit: self.rest.limit - page.len(), ..self.rest.clone() }.after(last.time);
        }
        Ok(page)
    }

    /// Waits for a database that is away, but not for ever, and not for a client that went away meanwhile.
    async fn next_page_patiently(&mut self, sender: &mpsc::Sender<Piece>) -> Result<Vec<Reading>, CutOff> {
        let deadline = Instant::now() + self.stall_timeout;
        loop {
            if sender.is_closed() {
                return Err(CutOff::ClientGone);
            }
            match self.next_page().await {
                Ok(page) => return Ok(page),
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    tracing::debug!("{error}: {}", error.server_message());
                    sleep(RETRY_INTERVAL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
