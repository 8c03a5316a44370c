//! Reads a request's body: the right type, unpacked, not too large, in time.

use std::{
    error::Error as _,
    io::{self, ErrorKind},
    pin::Pin,
    time::Duration,
};

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody as _},
    http::{
        HeaderMap, Request,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{LengthLimitError, Limited};
use serde_json::{Value, value::RawValue};
use tokio::{task, time::Instant};
use tokio_util::io::{ReaderStream, StreamReader};

use super::{admission::HeldBytes, errors::ApiError, listener::BUFFER_BYTES, origins::is_from_browser};
use crate::reading::decode::{foreign_encoding, without_byte_order_mark};

/// What is unpacked at a time.
const UNPACKED_CHUNK_BYTES: usize = 16 << 10;
/// What a decoder holds whatever it unpacks: its tables, and gzip's window.
const GZIP_STATE_BYTES: usize = 48 << 10;
const ZSTD_STATE_BYTES: usize = 128 << 10;
/// How far back zstd may refer, as a power of two: 8 MiB, which is what every decoder has to take (RFC 8878).
const ZSTD_WINDOW_LOG: u32 = 23;
const ZSTD_WINDOW_BYTES: usize = 1 << ZSTD_WINDOW_LOG;

/// How much of a body is taken, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct BodyLimits {
    pub(in crate::http) max_bytes: usize,
    pub(in crate::http) timeout: Duration,
}

impl BodyLimits {
    /// What a body holds at most, with what unpacks it.
    pub(in crate::http) fn held_bytes_max(self) -> usize {
        self.max_bytes + BUFFER_BYTES + UNPACKED_CHUNK_BYTES + ZSTD_STATE_BYTES + ZSTD_WINDOW_BYTES
    }

    /// The same, for bodies that are never so large.
    pub(in crate::http) fn at_most(self, max_bytes: usize) -> Self {
        Self { max_bytes: max_bytes.min(self.max_bytes), ..self }
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
    Zstd,
}

/// A body that is read chunk by chunk, unpacked; the limit is on what comes out, and on what goes in.
pub(in crate::http) struct BodyReader {
    chunks: Chunks,
    coding: Coding,
    max_bytes: usize,
    chunks_read: usize,
    read_bytes: usize,
    deadline: Instant,
}

enum Chunks {
    Plain(BodyDataStream),
    Unpacked(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl BodyReader {
    /// Nothing is read yet; a body that says itself that it is too large never is.
    pub(in crate::http) fn open(
        headers: &HeaderMap,
        body: Body,
        limits: BodyLimits,
    ) -> Result<Self, ApiError> {
        let BodyLimits { max_bytes, timeout } = limits;
        let coding = coding(headers)?;
        if body.size_hint().lower() > max_bytes as u64 {
            return Err(ApiError::BodyTooLarge { max_bytes });
        }
        let chunks = match coding {
            Coding::Plain => Chunks::Plain(body.into_data_stream()),
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(packed(body, max_bytes));
                decoder.multiple_members(true);
                Chunks::Unpacked(Box::pin(ReaderStream::with_capacity(decoder, UNPACKED_CHUNK_BYTES)))
            }
            Coding::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(packed(body, max_bytes), &window);
                decoder.multiple_members(true);
                Chunks::Unpacked(Box::pin(ReaderStream::with_capacity(decoder, UNPACKED_CHUNK_BYTES)))
            }
        };
        Ok(Self {
            chunks,
            coding,
            max_bytes,
            chunks_read: 0,
            read_bytes: 0,
            deadline: Instant::now() + timeout,
        })
    }

    /// The next bytes; none at the end.
    pub(in crate::http) async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        let next = async {
            match &mut self.chunks {
                Chunks::Plain(stream) => stream.next().await.transpose().map_err(|_| ApiError::BadBody),
                Chunks::Unpacked(stream) => {
                    let unpacked = stream.next().await.transpose();
                    unpacked.map_err(|error| unpacking_failed(&error, self.max_bytes))
                }
            }
        };
        let chunk = tokio::time::timeout_at(self.deadline, next).await;
        let chunk = chunk.unwrap_or(Err(ApiError::BodyTimedOut))?;
        let Some(chunk) = chunk else { return Ok(None) };
        if self.is_in_parts() {
            // Decompressed chunks are there at once and take long to work through: others have their turn in between.
            task::yield_now().await;
        }
        self.chunks_read += 1;
        self.read_bytes += chunk.len();
        if self.read_bytes > self.max_bytes {
            return Err(ApiError::BodyTooLarge { max_bytes: self.max_bytes });
        }
        Ok(Some(chunk))
    }

    /// Bytes that reading and unpacking hold themselves by now. Most bodies are there in one piece, and need no buffer for
    /// the next one.
    pub(in crate::http) fn held_bytes(&self) -> usize {
        let buffer = if self.is_in_parts() { BUFFER_BYTES } else { 0 };
        let unpacking = match self.coding {
            Coding::Plain => 0,
            Coding::Gzip => UNPACKED_CHUNK_BYTES + GZIP_STATE_BYTES,
            Coding::Zstd => UNPACKED_CHUNK_BYTES + ZSTD_STATE_BYTES + self.read_bytes.min(ZSTD_WINDOW_BYTES),
        };
        buffer + unpacking
    }

    fn is_in_parts(&self) -> bool {
        self.chunks_read > 1
    }
}

/// A small JSON body that is looked at as a whole: a value takes up to 32 times its text, so it is to be dropped before
/// anything is waited for.
pub(in crate::http) async fn read_value(
    held: &mut HeldBytes,
    request: Request<Body>,
    limits: BodyLimits,
) -> Result<Value, ApiError> {
    let body = read_json(held, request, limits).await?;
    serde_json::from_slice(&body).map_err(|error| ApiError::BadJson(error.to_string()))
}

/// The same as text: whatever it has that nobody looks at costs nothing more.
pub(in crate::http) fn raw_value(body: &Bytes) -> Result<&RawValue, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::BadJson(error.to_string()))
}

/// A JSON body as bytes; all such bodies have a bound together, too. No content type at all is taken as JSON, as it was
/// before, but of a browser.
pub(in crate::http) async fn read_json(
    held: &mut HeldBytes,
    request: Request<Body>,
    limits: BodyLimits,
) -> Result<Bytes, ApiError> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(ApiError::UnsupportedMediaType("application/json"));
    }
    let mut reader = BodyReader::open(&parts.headers, body, limits)?;
    held.hold(reader.held_bytes())?;
    let Some(first) = reader.chunk().await? else { return Ok(Bytes::new()) };
    held.hold(first.len() + reader.held_bytes())?;
    // Mostly that is all, and nothing has to be copied.
    let mut next = reader.chunk().await?;
    let whole = if next.is_none() {
        first
    } else {
        let mut whole = Vec::from(first);
        while let Some(chunk) = next {
            held.hold(whole.capacity().max(whole.len() + chunk.len()) + chunk.len() + reader.held_bytes())?;
            whole.extend_from_slice(&chunk);
            next = reader.chunk().await?;
        }
        whole.into()
    };
    drop(reader);
    held.hold(whole.len())?;
    text(&whole)
}

/// The text of a body: UTF-8, and without a byte-order mark.
fn text(body: &Bytes) -> Result<Bytes, ApiError> {
    if let Some(reject) = foreign_encoding(body) {
        return Err(ApiError::BadJson(reject.detail.into_owned()));
    }
    Ok(body.slice_ref(without_byte_order_mark(body)))
}

/// Whether a body is called JSON, or nothing at all by a client that is no browser: a page of somebody else's may send a
/// body without a content type, and has to ask beforehand for one that is called JSON.
pub(in crate::http) fn is_json(headers: &HeaderMap) -> bool {
    match content_type(headers) {
        Some(essence) => {
            essence == "application/json"
                || (essence.starts_with("application/") && essence.ends_with("+json"))
        }
        None => !is_from_browser(headers),
    }
}

/// The content type in lower case, without its parameters.
pub(in crate::http) fn content_type(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?;
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// One coding at most: packing twice is nobody's way to send readings.
fn coding(headers: &HeaderMap) -> Result<Coding, ApiError> {
    let mut codings = headers.get_all(CONTENT_ENCODING).into_iter();
    let Some(coding) = codings.next() else { return Ok(Coding::Plain) };
    let name = coding.to_str().unwrap_or("?").trim();
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match () {
        () if codings.next().is_some() => Err(ApiError::UnsupportedEncoding),
        () if is("identity") || name.is_empty() => Ok(Coding::Plain),
        () if is("gzip") || is("x-gzip") => Ok(Coding::Gzip),
        () if is("zstd") => Ok(Coding::Zstd),
        () => Err(ApiError::UnsupportedEncoding),
    }
}

/// The packed bytes: no more of them than may come out, or a body of empty frames would have no end.
fn packed(
    body: Body,
    max_bytes: usize,
) -> StreamReader<impl Stream<Item = io::Result<Bytes>> + Send + Unpin, Bytes> {
    let limited = Body::new(Limited::new(body, max_bytes));
    StreamReader::new(limited.into_data_stream().map_err(|error| {
        let is_limit = error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
        // Told apart from what the decoders say of the bytes that they get.
        let kind = if is_limit { ErrorKind::FileTooLarge } else { ErrorKind::ConnectionAborted };
        io::Error::new(kind, error)
    }))
}

fn unpacking_failed(error: &io::Error, max_bytes: usize) -> ApiError {
    match error.kind() {
        ErrorKind::FileTooLarge => ApiError::BodyTooLarge { max_bytes },
        ErrorKind::ConnectionAborted => ApiError::BadBody,
        _ => ApiError::BadEncoding(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn json_in_its_names() {
        for (content_type, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/senml+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(is_json(&headers), json, "{content_type}");
        }
        assert!(is_json(&HeaderMap::new()));
        for header in ["origin", "sec-fetch-site", "sec-fetch-mode"] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(header), "x".parse().unwrap())]);
            assert!(!is_json(&headers), "{header}");
        }
    }

    #[test]
    fn codings_in_their_names() {
        let of = |names: &[&str]| {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append(CONTENT_ENCODING, name.parse().unwrap());
            }
            coding(&headers).ok()
        };
        assert_eq!(of(&[]), Some(Coding::Plain));
        assert_eq!(of(&["identity"]), Some(Coding::Plain));
        assert_eq!(of(&["GZIP"]), Some(Coding::Gzip));
        assert_eq!(of(&["x-gzip"]), Some(Coding::Gzip));
        assert_eq!(of(&[" zstd "]), Some(Coding::Zstd));
        for names in [&["br"][..], &["gzip, zstd"], &["gzip", "gzip"], &["deflate"]] {
            assert_eq!(of(names), None, "{names:?}");
        }
    }
}
