//! The HTTP front end; the only place that names `axum`.
