//! The HTTP front end; the only place that names `axum`.

/// The OpenAPI document as JSON.
pub fn openapi_document() -> String {
    String::new()
}
