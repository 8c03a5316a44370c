//! Pages for people, and the OpenAPI document: all of it is in this binary, and open to everybody.

mod dashboard;
mod docs;
pub(super) mod openapi;
mod static_file;

use crate::http::server::Routes;

/// The routes of the pages; `document` is the OpenAPI document.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(document: String) -> Routes<S> {
    dashboard::routes().merge(docs::routes(document))
}
