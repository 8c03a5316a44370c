//! Everything that speaks to Postgres; the only place that names `sqlx`.

pub mod audit;
mod compression;
mod connection;
mod day_locks;
pub mod dead_letters;
mod error;
pub mod keys;
mod load;
pub mod offset_moves;
mod offsets;
mod options;
pub mod overview;
mod pool;
mod postgres_time;
pub mod queries;
pub mod receipts;
mod retention;
mod sample;
mod schema;
mod sensor_changes;
pub mod sensors;
mod startup;
pub mod stats;
mod write;

pub use compression::{Compression, compress_after};
pub use connection::answers;
pub use error::StoreError;
pub use load::LoadStore;
pub use offsets::{Offsets, StoredOffset};
pub use pool::Pool;
pub use retention::{Dropped, drop_expired};
pub use sample::{SampleError, SampleStore};
pub use schema::{Migrated, SchemaError, migrate, wait_for_schema};
pub use sensor_changes::{SensorChange, SensorChanges};
pub use startup::ConnectError;
pub use write::{BatchWriter, Fence, Phases, Report, WriterConfig, Written, encode_rows};
