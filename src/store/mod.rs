//! Everything that speaks to Postgres; the only place that names `sqlx`.

mod error;
mod pool;
mod schema;
pub mod sensors;
pub mod stats;

pub use error::StoreError;
pub use pool::Pool;
pub use schema::{Migrated, SchemaError, migrate, wait_for_schema};
