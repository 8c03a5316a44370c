//! What every request passes, whatever it is for: connections, admission, bodies, keys, origins, errors.
//!
//! ```text
//! listener ──> unread_body, normal_path ──> router ──> middleware ──> origins, access ──> a folder's routes
//! ```
//!
//! It knows none of the folders whose routes it serves: they hand it their [`routes`], each of which says who may use it.
//! [`parameters`], [`body`] and [`admission`] are what the routes read requests with; every answer that is not a success
//! is an [`errors::ApiError`].

pub(super) mod access;
pub(super) mod admission;
pub(super) mod body;
pub(super) mod errors;
mod listener;
mod middleware;
mod normal_path;
pub(super) mod origins;
pub(super) mod parameters;
pub(super) mod request_id;
mod request_metrics;
mod resource;
pub(super) mod routes;
mod shared_settings;
pub(super) mod trace_context;
mod unread_body;

use std::time::Duration;

use axum::Router;

pub use self::listener::{ServeLimits, serve};
pub(super) use self::{
    access::{Client, Held, KeyRing},
    admission::Admission,
    body::BodyLimits,
    errors::{
        ApiError, ErrorBody, InvalidBody,
        validation::{FieldError, Step, VALIDATION_ERRORS_MAX, ValidationErrors},
    },
    parameters::Parameters,
    resource::Resource,
    routes::{Access, Routes},
    shared_settings::running_settings,
};
use self::{middleware::Rules, origins::CrossSite};

/// The routes as they are served: a request reaches one by what it may, and there is an answer for what no route takes.
pub(super) fn router(routes: Routes, timeout: Duration, keys: KeyRing, cross_site: CrossSite) -> Router {
    let (unguarded, access) = routes.into_parts();
    let rules = Rules { timeout, keys, access, cross_site };
    unguarded
        .fallback(async || ApiError::NotFound("Not found."))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(axum::middleware::from_fn_with_state(rules, middleware::every_request))
}
