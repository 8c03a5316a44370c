//! What every request passes: its id, whether it may, its key's share, the time it may take, its metrics, the headers of
//! its answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    access::{Client, KeyRing},
    errors::ApiError,
    origins::CrossSite,
    request_id::{self, X_REQUEST_ID},
    request_metrics,
    routes::{Access, AccessTable, is_safe},
    trace_context,
};
use crate::traces::{self, RequestSpan};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, TRANSFER_ENCODING,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

/// The headers of every answer that does not set its own.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    // What a key opens is not for the shelf.
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// What a request is held to.
#[derive(Clone)]
pub(super) struct Rules {
    /// Longest time that it may take.
    pub(super) timeout: Duration,
    /// Who there is.
    pub(super) keys: KeyRing,
    /// Who may use which route.
    pub(super) access: Arc<AccessTable>,
    /// Whose pages may make a browser ask.
    pub(super) cross_site: CrossSite,
}

/// Names, admits, bounds, counts and finishes a request.
pub(super) async fn every_request(State(rules): State<Rules>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = request_id::settle(request.headers_mut());
    let method = method_label(request.method());
    // The route, never the address: labels have to stay few.
    let route = request.extensions().get::<MatchedPath>().cloned();
    // No route, nothing to guard.
    let access = route.as_ref().map(|route| rules.access.of(request.method(), route.as_str()));
    let needs_key = access.is_some_and(|access| access.scopes().is_some());
    let span = route.as_ref().filter(|_| needs_key).and_then(|route| span(&request, method, route, &id));
    let answer =
        traces::within(span.as_ref().map(RequestSpan::context), answer(&rules, access, request, next));
    let mut response = request_id::during(id.clone(), answer).await;
    if let Some(span) = span {
        span.answered(response.status().as_u16());
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers.insert(X_REQUEST_ID, id);
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    request_metrics::record(method, route, response.status(), start.elapsed());
    response
}

/// The span of a request, where traces are on. Those that anybody may send are not traced: probes and scrapes.
fn span(
    request: &Request,
    method: &'static str,
    route: &MatchedPath,
    id: &HeaderValue,
) -> Option<RequestSpan> {
    if !traces::are_on() {
        return None;
    }
    let client = trace_context::client(request.headers());
    let id = id.to_str().unwrap_or_default();
    RequestSpan::start(method, route.as_str(), request.uri().path(), id, client.as_ref())
}

async fn answer(rules: &Rules, access: Option<Access>, request: Request, next: Next) -> Response {
    let admitted = admit(rules, access, &request);
    let is_query = access.is_some_and(Access::is_query);
    let answering = async {
        match admitted? {
            Some(client) => answer_client(client, is_query, request, next).await,
            None => Ok(next.run(request).await),
        }
    };
    match tokio::time::timeout(rules.timeout, answering).await {
        Ok(answer) => answer.unwrap_or_else(ApiError::into_response),
        Err(_elapsed) => ApiError::Unavailable("The request took too long.".into()).into_response(),
    }
}

/// The answer to a client that was let in. One that reads is let down at once when its key is revoked meanwhile; what
/// writes ends as it would, or nobody could say whether it did.
async fn answer_client(
    client: Client,
    is_query: bool,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let is_safe = is_safe(request.method());
    let has_key = matches!(client, Client::Key(_));
    request.extensions_mut().insert(client.clone());
    let answering = async {
        if is_query {
            client.querying(async { Ok(next.run(request).await) }).await
        } else {
            Ok(next.run(request).await)
        }
    };
    tokio::select! {
        biased;
        () = client.ended().cancelled(), if is_safe => Err(ApiError::Unauthorized { has_key }),
        answer = answering => answer,
    }
}

/// Lets a request pass that is well formed, that no page of somebody else's sent, and whose key is good for it.
fn admit(rules: &Rules, access: Option<Access>, request: &Request) -> Result<Option<Client>, ApiError> {
    let is_open = rules.keys.are_demanded() == Some(false);
    rules.cross_site.check(request, access, is_open)?;
    check_transfer_coding(request.headers())?;
    let scopes = access.and_then(Access::scopes);
    scopes.map(|scopes| rules.keys.admit(request.headers(), scopes)).transpose()
}

/// Refuses transfer codings that nobody would undo (RFC 9112, 6.1): hyper takes `gzip, chunked` for `chunked`.
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if is_chunked(coding) => Ok(()),
        (Some(_), _) => Err(ApiError::UnsupportedTransferCoding),
    }
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
