//! Reads a request's body: the right type, not too large, in time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    http::{HeaderMap, Request, header::CONTENT_TYPE},
};

use super::error::ApiError;

/// How much of a body is taken, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) max_bytes: usize,
    pub(super) timeout: Duration,
}

/// A JSON body as bytes. No content type at all is taken as JSON, as it was before.
pub(super) async fn read_json(request: Request<Body>, limits: BodyLimits) -> Result<Bytes, ApiError> {
    if !is_json(request.headers()) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let body = request.into_body();
    let too_large = || ApiError::BodyTooLarge { max_bytes: limits.max_bytes };
    // Said before anything is read where the length is known.
    if body.size_hint().lower() > limits.max_bytes as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(limits.timeout, axum::body::to_bytes(body, limits.max_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error);
            let is_limit =
                source.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
            Err(if is_limit { too_large() } else { ApiError::BadBody })
        }
        Err(_elapsed) => Err(ApiError::BodyTimedOut),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return true };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
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
    }
}
