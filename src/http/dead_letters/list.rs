//! `GET /dead-letters` and `GET /dead-letters/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{DeadLettersApi, NO_SUCH_DEAD_LETTER, id_of, letter_of, refused, selection};
use crate::{
    http::server::{ApiError, ErrorBody, InvalidBody, Parameters, parameters::positive},
    store::dead_letters::{self, Filter, Letter, ReasonName, WholeDeadLetter},
};

const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;

/// A page of dead letters.
#[derive(Serialize, ToSchema)]
pub(super) struct LettersPage {
    /// The newest first.
    letters: Vec<Letter>,
    /// What to send as `after` for the page behind this one; null on the last.
    #[schema(example = "AAAAAAAABBI")]
    next: Option<String>,
}

/// List dead letters
///
/// The newest first, page by page, without their payloads. Dead letters that come meanwhile appear on no later page, and never
/// make another one appear twice or not at all.
#[utoipa::path(
    get, path = "/dead-letters", tag = "dead letters", operation_id = "list_dead_letters",
    params(
        ("topic" = Option<String>, Query, description = "Only of this topic", pattern = "^[A-Za-z0-9._-]{1,249}$", example = "sensor-readings"),
        ("partition" = Option<i32>, Query, description = "Only of this partition", minimum = 0, example = 4),
        ("reason" = inline(Option<ReasonName>), Query, description = "Only those set aside for this reason"),
        ("sensor_id" = Option<i32>, Query, description = "Only those whose record's key is this sensor's id, as the topic's contract has it", example = 77),
        ("since" = Option<String>, Query, description = "Only those set aside then or later; any form that a reading's timestamp has", example = "2026-11-01"),
        ("until" = Option<String>, Query, description = "Only those set aside before then", example = "2026-11-02"),
        ("limit" = Option<u64>, Query, description = "Most dead letters of a page; 100 where absent", minimum = 1, maximum = 1000, example = 100),
        ("after" = Option<String>, Query, description = "`next` of the page before this one, whose other parameters stay as they were", pattern = "^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$", example = "AAAAAAAABBI"),
    ),
    responses(
        (status = 200, description = "Letters; maybe none.", body = LettersPage),
        (status = 422, description = "A parameter does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "partition"], "msg": "Input should be a valid integer from 0 to 2147483647", "type": "int_parsing"}]})),
        (status = 409, description = "The api's role in the database may not do this.", body = ErrorBody, example = json!({"detail": "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may."})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<DeadLettersApi>>,
    RawQuery(query): RawQuery,
) -> Result<Json<LettersPage>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let filter = Filter {
        topic: parameters.take("topic", selection::topic),
        partition: parameters.take("partition", |text| selection::partition(text.parse().ok())),
        reason: parameters.take("reason", selection::reason),
        sensor_id: parameters.take("sensor_id", |text| selection::sensor_id(text.parse().ok())),
        since: parameters.take("since", selection::time),
        until: parameters.take("until", selection::time),
    };
    let limit = parameters.take("limit", |text| positive(text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
    let before = parameters.take("after", id_of);
    parameters.finish()?;
    let page = dead_letters::page(&api.current_reads, filter, before, limit as u32).await.map_err(refused)?;
    Ok(Json(LettersPage { letters: page.letters, next: page.next.map(super::cursor_of) }))
}

/// Show a dead letter
///
/// With its payload and its record's headers, as they came: they hold whatever somebody sent.
#[utoipa::path(
    get, path = "/dead-letters/{id}", tag = "dead letters", operation_id = "show_dead_letter",
    params(("id" = i64, Path, description = "The dead letter", example = 1042, minimum = 1)),
    responses(
        (status = 200, description = "The dead letter.", body = WholeDeadLetter),
        (status = 404, description = "There is no such dead letter, or no longer.", body = ErrorBody, example = json!({"detail": "Dead letter not found."})),
        (status = 409, description = "The api's role in the database may not do this.", body = ErrorBody, example = json!({"detail": "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may."})),
        (status = 422, description = "The id is none.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "id"], "msg": "Input should be a valid integer from 1 to 9223372036854775807", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<DeadLettersApi>>,
    Path(id): Path<String>,
) -> Result<Json<WholeDeadLetter>, ApiError> {
    let id = letter_of(&id)?;
    let letter =
        dead_letters::find(&api.current_reads, id).await.map_err(refused)?.ok_or(NO_SUCH_DEAD_LETTER)?;
    Ok(Json(letter))
}
