//! `/docs`, `/redoc` and `/openapi.json`, all from this binary: the pages ask no other server for anything.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use tower_http::compression::CompressionLayer;
use utoipa_swagger_ui::Config;

use super::error::ApiError;

const HTML: &str = "text/html; charset=utf-8";
const SWAGGER_PAGE: &str = include_str!("docs/swagger.html");
const REDOC_PAGE: &str = include_str!("docs/redoc.html");
const REDOC_BUNDLE: &str = include_str!("docs/redoc/redoc.standalone.js");
const REDOC_STYLE: &str = "body { margin: 0; }";

/// Both pages style their elements from scripts; ReDoc searches in a worker that it makes from a blob.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The pages are asked for again after an hour, so that an upgrade shows.
const CACHE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));

/// The pages and the document, which is text by now.
pub(super) fn routes(document: String) -> Router {
    let document: Arc<str> = document.into();
    Router::new()
        .route("/docs", get(|| async { page(SWAGGER_PAGE) }))
        .route("/docs/", get(|| async { Redirect::permanent("/docs") }))
        .route("/docs/{file}", get(swagger_file))
        .route("/redoc", get(|| async { page(REDOC_PAGE) }))
        .route("/redoc/", get(|| async { Redirect::permanent("/redoc") }))
        .route("/redoc/redoc.standalone.js", get(|| async { asset("text/javascript", REDOC_BUNDLE) }))
        .route("/redoc/page.css", get(|| async { asset("text/css", REDOC_STYLE) }))
        .route(
            "/openapi.json",
            get(move || async move { ([(CONTENT_TYPE, "application/json")], document.to_string()) }),
        )
        .layer(CompressionLayer::new())
}

fn page(html: &'static str) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(HTML)), (CONTENT_SECURITY_POLICY, PAGE_POLICY), CACHE], html)
        .into_response()
}

fn asset(content_type: &'static str, bytes: &'static str) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type)), CACHE], bytes).into_response()
}

async fn swagger_file(Path(file): Path<String>) -> Result<Response, ApiError> {
    // Without the setting, Swagger UI sends the document's address to a validator on the internet.
    let config = Config::from("openapi.json").validator_url("none");
    match utoipa_swagger_ui::serve(&file, Arc::new(config)) {
        Ok(Some(file)) => {
            let bytes = file.bytes.into_owned();
            Ok((StatusCode::OK, [(CONTENT_TYPE.as_str(), file.content_type.as_str())], [CACHE], bytes)
                .into_response())
        }
        Ok(None) => Err(ApiError::NotFound("Not found.")),
        Err(error) => {
            tracing::error!("Swagger UI: {error}");
            Err(ApiError::Internal)
        }
    }
}
