//! Dead letters: looked at, replayed and discarded. For the scope `admin` alone, since they hold whatever somebody sent.

mod discard;
mod list;
mod replay;
mod selection;
mod summary;

use std::sync::Arc;

use axum::{body::Body, extract::FromRef, http::Request};
use utoipa_axum::routes;

use crate::{
    access::{Scope, Scopes},
    config::RunningSettings,
    http::server::{
        Access, Admission, ApiError, BodyLimits, FieldError, Parameters, Routes,
        body::read_value,
        parameters::{cursor, digits},
        running_settings,
    },
    reading::Timestamp,
    store::{
        Pool, StoreError,
        dead_letters::{Portion, ReplayRules},
    },
};

const NO_SUCH_DEAD_LETTER: ApiError = ApiError::NotFound("Dead letter not found.");
/// SQLSTATE `insufficient_privilege`.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// A thousand ids, or a filter, with room to spare.
const BODY_MAX_BYTES: usize = 64 << 10;

/// What the routes of dead letters need.
pub(super) struct DeadLettersApi {
    /// Writes.
    pub(super) pool: Pool,
    /// Answers what has to be true now.
    pub(super) current_reads: Pool,
    /// Bounds what bodies hold together.
    pub(super) admission: Admission,
    /// Bounds one body.
    pub(super) body_limits: BodyLimits,
    /// Which times are accepted, and what becomes of a reading whose time is taken.
    pub(super) ingest: RunningSettings,
}

impl DeadLettersApi {
    /// What a dead letter has to pass now.
    fn replay_rules(&self) -> Result<ReplayRules, ApiError> {
        let ingest = running_settings(&self.ingest)?;
        Ok(ReplayRules {
            window: ingest.acceptance().window(Timestamp::now()),
            on_duplicate: ingest.on_duplicate,
            rollups: ingest.rollups,
        })
    }
}

/// The routes of dead letters.
pub(super) fn routes<S>() -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<DeadLettersApi>: FromRef<S>,
{
    const LOOK: Access = Access::query(Scope::Admin);
    const CHANGE: Access = Access::key(Scope::Admin);
    Routes::only_for(Scopes::one(Scope::Admin))
        .route(LOOK, routes!(list::list))
        .route(LOOK, routes!(summary::show))
        .route(CHANGE, routes!(replay::many))
        .route(CHANGE, routes!(discard::many))
        .route(LOOK, routes!(list::show))
        .route(CHANGE, routes!(discard::one))
        .route(CHANGE, routes!(replay::one))
}

/// Which dead letters a body means.
async fn portion_of(api: &DeadLettersApi, request: Request<Body>) -> Result<Portion, ApiError> {
    let mut held = api.admission.hold_nothing();
    let body = read_value(&mut held, request, api.body_limits.at_most(BODY_MAX_BYTES)).await?;
    selection::portion(&body).map_err(ApiError::Invalid)
}

/// The dead letter of a path in which nothing else can be wrong.
fn letter_of(text: &str) -> Result<i64, ApiError> {
    let mut parameters = Parameters::of(None);
    let id = parameters.of_path("id", digits(text, 1, i64::MAX)).unwrap_or_default();
    parameters.finish().map(|()| id)
}

/// The last id of a page, for who goes on behind it.
fn cursor_of(id: i64) -> String {
    cursor::encode(id.to_be_bytes())
}

fn id_of(cursor: &str) -> Result<i64, FieldError> {
    cursor::decode(cursor).map(i64::from_be_bytes)
}

/// Where the api's role in the database may only read, as it may be set up, a command with another one does it.
fn refused(error: StoreError) -> ApiError {
    if error.sqlstate().as_deref() == Some(INSUFFICIENT_PRIVILEGE) {
        tracing::warn!("{error}: {}", error.server_message());
        return ApiError::Conflict(
            "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may.",
        );
    }
    error.into()
}
