//! A document that is the same for every request: compressed once, and shared by the answers under way.

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use std::{io::Write as _, sync::Arc};
use tokio::{sync::OnceCell, task};

/// Its bytes as they are, and compressed once somebody has asked for them so.
#[derive(Debug)]
pub(super) struct StaticFile {
    content_type: HeaderValue,
    plain: Bytes,
    /// None where compressing makes it no smaller, or could not be done.
    gzip: Arc<OnceCell<Option<Bytes>>>,
}

impl StaticFile {
    pub(in crate::http) fn new(content_type: HeaderValue, bytes: impl Into<Bytes>) -> Self {
        Self { content_type, plain: bytes.into(), gzip: Arc::default() }
    }

    /// The document as a client with these headers takes it.
    pub(in crate::http) async fn answer(&self, headers: &HeaderMap) -> Response {
        let gzip = if accepts_gzip(headers) { self.compressed().await } else { None };
        let common =
            [(CONTENT_TYPE, self.content_type.clone()), (VARY, HeaderValue::from_static("accept-encoding"))];
        match gzip {
            Some(gzip) => {
                let coding = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
                (common, coding, Body::from(gzip)).into_response()
            }
            None => (common, Body::from(self.plain.clone())).into_response(),
        }
    }

    /// Whoever asks first waits for some 20 ms, away from the threads that answer others. It is done to its end though the
    /// client goes away meanwhile, or each such client would have it done anew.
    async fn compressed(&self) -> Option<Bytes> {
        if !self.gzip.initialized() {
            let (plain, gzip) = (self.plain.clone(), Arc::clone(&self.gzip));
            let compress = || async { task::spawn_blocking(move || compress(&plain)).await.ok().flatten() };
            task::spawn(async move { gzip.get_or_init(compress).await.is_some() }).await.ok()?;
        }
        self.gzip.get().cloned().flatten()
    }
}

/// None where that is no smaller.
fn compress(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    let gzip = written.ok().filter(|gzip| gzip.len() < plain.len())?;
    // What the vector has room for besides would stay for as long as the process does.
    Some(gzip.into_boxed_slice().into())
}

/// Whether gzip is named as a coding that is taken (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight != Some(Ok(0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(file: &StaticFile, accepted: &str) -> (Option<HeaderValue>, usize) {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accepted.parse().unwrap())]);
        let mut answer = file.answer(&headers).await;
        assert_eq!(answer.headers()[VARY], "accept-encoding");
        let coding = answer.headers_mut().remove(CONTENT_ENCODING);
        (coding, axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap().len())
    }

    #[tokio::test]
    async fn a_file_is_compressed_for_who_takes_it_so_and_once() {
        let text = "sensor ".repeat(1_000);
        let file = StaticFile::new(HeaderValue::from_static("text/plain"), text.clone());
        for accepted in ["", "br", "identity", "gzip;q=0", "gzip; q=0.000, br", "gzipped"] {
            assert_eq!(answer(&file, accepted).await, (None, text.len()), "{accepted}");
        }
        assert!(!file.gzip.initialized());
        for accepted in ["gzip", "br, GZIP;q=0.5", "deflate,gzip ;q=1"] {
            let (coding, length) = answer(&file, accepted).await;
            assert_eq!(coding, Some(HeaderValue::from_static("gzip")), "{accepted}");
            assert!(length < 100, "{length}");
        }
        let first = file.compressed().await.unwrap().as_ptr();
        assert_eq!(file.compressed().await.unwrap().as_ptr(), first, "the same bytes");
    }

    #[tokio::test]
    async fn what_gets_no_smaller_stays_as_it_is() {
        let file = StaticFile::new(HeaderValue::from_static("text/plain"), "a");
        assert_eq!(answer(&file, "gzip").await, (None, 1));
    }
}
