//! Which pages of other origins a browser lets call the api.

use std::time::Duration;

use axum::http::{
    HeaderName, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{
    config::CorsOrigin,
    http::server::{access::X_API_KEY, request_id::X_REQUEST_ID},
};

/// How long a browser may remember the answer.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// None where no origin is configured: then no answer says a word of it, and browsers refuse.
pub(in crate::http) fn layer(origins: &[CorsOrigin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.contains(&CorsOrigin::Any) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| match origin {
            CorsOrigin::Any => None,
            CorsOrigin::One(origin) => origin.parse().ok(),
        }))
    };
    let (prefer, traceparent) = (HeaderName::from_static("prefer"), HeaderName::from_static("traceparent"));
    // A key is in a header that a page sets itself, so no page needs a browser's credentials.
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, X_API_KEY, X_REQUEST_ID, prefer, traceparent])
        .expose_headers([RETRY_AFTER, X_REQUEST_ID, HeaderName::from_static("preference-applied")])
        .max_age(MAX_AGE);
    Some(layer)
}
