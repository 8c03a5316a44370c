//! Everything that speaks to Postgres; the only place that names `sqlx`.

mod error;
mod schema;

pub use error::StoreError;
pub use schema::{Migrated, SchemaError, migrate, wait_for_schema};
