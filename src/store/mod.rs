//! Everything that speaks to Postgres; the only place that names `sqlx`.

mod error;

pub use error::StoreError;
