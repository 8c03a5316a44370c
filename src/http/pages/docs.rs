//! `/docs`, `/redoc` and `/openapi.json`, all from this binary: the pages ask no other server for anything.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Path, State},
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    },
    response::{IntoResponse, Redirect, Response},
};
use parking_lot::Mutex;
use utoipa_swagger_ui::Config;

use super::static_file::StaticFile;
use crate::http::server::{Access, ApiError, Routes};

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
pub(super) fn routes<S: Clone + Send + Sync + 'static>(document: String) -> Routes<S> {
    let fixed = |content_type, text: &'static str| {
        Arc::new(StaticFile::new(HeaderValue::from_static(content_type), text))
    };
    let document = Arc::new(StaticFile::new(HeaderValue::from_static("application/json"), document));
    let (bundle, style) = (fixed("text/javascript", REDOC_BUNDLE), fixed("text/css", REDOC_STYLE));
    Routes::new()
        .page(Access::Public, "/docs", page, fixed(HTML, SWAGGER_PAGE))
        .page(Access::Public, "/docs/", async || Redirect::permanent("/docs"), ())
        .page(Access::Public, "/docs/{file}", swagger_file, SwaggerFiles::default())
        .page(Access::Public, "/redoc", page, fixed(HTML, REDOC_PAGE))
        .page(Access::Public, "/redoc/", async || Redirect::permanent("/redoc"), ())
        .page(Access::Public, "/redoc/redoc.standalone.js", asset, bundle)
        .page(Access::Public, "/redoc/page.css", asset, style)
        .page(Access::Public, "/openapi.json", openapi, document)
}

async fn page(State(file): State<Arc<StaticFile>>, headers: HeaderMap) -> Response {
    ([(CONTENT_SECURITY_POLICY, PAGE_POLICY), CACHE], file.answer(&headers).await).into_response()
}

async fn asset(State(file): State<Arc<StaticFile>>, headers: HeaderMap) -> Response {
    ([CACHE], file.answer(&headers).await).into_response()
}

async fn openapi(State(document): State<Arc<StaticFile>>, headers: HeaderMap) -> Response {
    document.answer(&headers).await
}

/// Swagger UI's files that somebody has asked for; never more than it has.
#[derive(Clone, Default)]
struct SwaggerFiles(Arc<Mutex<HashMap<String, Arc<StaticFile>>>>);

impl SwaggerFiles {
    /// None where there is no such file.
    fn find(&self, name: &str) -> Result<Option<Arc<StaticFile>>, ApiError> {
        let mut known = self.0.lock();
        if let Some(file) = known.get(name) {
            return Ok(Some(Arc::clone(file)));
        }
        let file = swagger_file_of(name)?.map(Arc::new);
        if let Some(file) = &file {
            known.insert(name.to_owned(), Arc::clone(file));
        }
        Ok(file)
    }
}

async fn swagger_file(
    State(files): State<SwaggerFiles>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = files.find(&name)?.ok_or(ApiError::NotFound("Not found."))?;
    Ok(([CACHE], file.answer(&headers).await).into_response())
}

fn swagger_file_of(name: &str) -> Result<Option<StaticFile>, ApiError> {
    let wrong = |error: &dyn std::fmt::Display| {
        tracing::error!("Swagger UI: {error}");
        ApiError::Internal
    };
    // Without the setting, Swagger UI sends the document's address to a validator on the internet.
    let config = Config::from("openapi.json").validator_url("none");
    let file = utoipa_swagger_ui::serve(name, Arc::new(config)).map_err(|error| wrong(&error))?;
    let Some(file) = file else { return Ok(None) };
    let content_type = HeaderValue::try_from(file.content_type).map_err(|error| wrong(&error))?;
    Ok(Some(StaticFile::new(content_type, file.bytes.into_owned())))
}
