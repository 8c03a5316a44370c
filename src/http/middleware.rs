//! What every request passes: the time it may take, its metrics, the headers of its answer.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        HeaderName, HeaderValue, Method,
        header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use metrics::{counter, histogram};

use super::error::ApiError;
use crate::metrics::{HTTP_REQUESTS, HTTP_SECONDS};

/// The headers of every answer that does not set its own.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// Bounds, counts and finishes a request.
pub(super) async fn every_request(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = method_label(request.method());
    // The route, never the address: labels have to stay few.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => ApiError::Unavailable("The request took too long.".into()).into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let status = response.status().as_str().to_owned();
    counter!(HTTP_REQUESTS, "method" => method, "route" => route.to_owned(), "status" => status).increment(1);
    histogram!(HTTP_SECONDS, "route" => route.to_owned()).record(start.elapsed().as_secs_f64());
    response
}

/// A client can make up methods without end.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
