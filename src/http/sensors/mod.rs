//! What measures: sensors are listed, made, changed and deleted, and which there are is remembered.
//!
//! ```text
//! create, bulk ── fields ── making ─> store::sensors, the topic of the sensors
//! one ── fields ────────────────> store::sensors
//! list, deletion ───────────────> store::sensors
//! cache ── change_hints ────────> store::sensors, for whoever asks whether a sensor exists
//! ```

mod bulk;
pub(super) mod cache;
mod change_hints;
mod create;
mod deletion;
mod existence;
mod fields;
mod json_members;
mod list;
mod making;
mod one;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::routes;

pub use self::cache::SensorCache;
use crate::{
    access::Scope,
    http::server::{Access, Admission, BodyLimits, Routes},
    kafka::{SensorTopic, producer::Producer},
    store::Pool,
};

/// Far more than the three fields can fill.
const BODY_MAX_BYTES: usize = 64 << 10;

/// What the routes of sensors need.
pub(super) struct SensorsApi {
    /// Writes.
    pub(super) pool: Pool,
    /// Answers what has to be true now.
    pub(super) current_reads: Pool,
    /// Answers what may lag behind.
    pub(super) reads: Pool,
    /// Hears of each change.
    pub(super) sensors: SensorCache,
    /// Keeps the ids of sensors.
    pub(super) sensor_topic: SensorTopic,
    /// Knows whether Kafka answers.
    pub(super) producer: Producer,
    /// Bounds what bodies hold together.
    pub(super) admission: Admission,
    /// Bounds one body.
    pub(super) body_limits: BodyLimits,
}

/// The routes of sensors.
pub(super) fn routes<S>() -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<SensorsApi>: FromRef<S>,
{
    Routes::new()
        .route(Access::query(Scope::Read), routes!(list::list))
        .route(Access::key(Scope::Admin), routes!(create::create))
        .route(Access::key(Scope::Admin), routes!(bulk::create_all))
        .route(Access::query(Scope::Read), routes!(one::show))
        .route(Access::key(Scope::Admin), routes!(one::change, one::delete))
        .route(Access::query(Scope::Read), routes!(deletion::show))
}
