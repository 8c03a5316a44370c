//! Everything that speaks to Postgres; the only place that names `sqlx`.

pub mod audit;
mod chunk_spans;
mod commit_settings;
mod compression;
mod connection;
mod database_identity;
mod day;
mod day_locks;
mod dead_letter_part;
mod dead_letter_usage;
pub mod dead_letters;
mod error;
mod fitness;
mod hosts;
pub mod keys;
pub mod offset_moves;
mod offsets;
mod options;
pub mod overview;
mod passfile;
mod pool;
mod postgres_time;
mod quarter_figures;
pub mod queries;
mod read_snapshot;
pub mod receipts;
mod retention;
mod sample;
mod schema;
mod sensor_changes;
pub mod sensors;
mod session;
mod sessions;
pub mod settings;
mod stalled;
mod startup;
pub mod stats;
mod write;

pub use commit_settings::commit_settings;
pub use compression::{Compression, compress_after};
pub use database_identity::database_id;
pub use error::{Remedy, StoreError, Trouble};
pub use fitness::{Unfit, wait_until_fit};
pub use offsets::Offsets;
pub use pool::{Pool, holding};
pub use retention::{Dropped, Expiry, drop_expired};
pub use sample::{SampleError, SampleStore};
pub use schema::{Migrated, SchemaError, migrate, migrate_with, wait_for_schema};
pub use sensor_changes::{IDS_MAX as SENSOR_CHANGE_IDS_MAX, SensorChange, SensorChanges};
pub use stalled::{ReportedStall, StallReport, stalled};
pub use startup::{ConnectError, connect_within};
pub use write::{
    BatchWriter, LostSensors, Phases, Report, SensorSource, WriterConfig, Written, encode_rows, try_writing,
};
