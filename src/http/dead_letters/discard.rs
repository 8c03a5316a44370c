//! `DELETE /dead-letters/{id}` and `POST /dead-letters/discard`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::Request,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    DeadLettersApi, NO_SUCH_DEAD_LETTER, cursor_of, letter_of, portion_of, refused, selection::LettersBody,
};
use crate::{
    http::server::{ApiError, ErrorBody, InvalidBody},
    store::dead_letters::{self, Discarded, Portion, Selection},
};

/// Dead letters that are gone.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"discarded": 12, "missing": [], "next": null}))]
pub(super) struct DiscardedBody {
    /// How many.
    discarded: u64,
    /// Ids that were asked for and are no dead letters', or no longer.
    missing: Vec<i64>,
    /// What to send as `after` with the same body to go on; null at the end.
    next: Option<String>,
}

/// Discard a dead letter
///
/// It is deleted for good, and counted.
#[utoipa::path(
    delete, path = "/dead-letters/{id}", tag = "dead letters", operation_id = "discard_dead_letter",
    params(("id" = i64, Path, description = "The dead letter", example = 1042, minimum = 1)),
    responses(
        (status = 200, description = "It is gone.", body = DiscardedBody, example = json!({"discarded": 1, "missing": [], "next": null})),
        (status = 404, description = "There is no such dead letter, or no longer.", body = ErrorBody, example = json!({"detail": "Dead letter not found."})),
        (status = 409, description = "The api's role in the database may not do this.", body = ErrorBody, example = json!({"detail": "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may."})),
        (status = 422, description = "The id is none.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "id"], "msg": "Input should be a valid integer from 1 to 9223372036854775807", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn one(
    State(api): State<Arc<DeadLettersApi>>,
    Path(id): Path<String>,
) -> Result<Json<DiscardedBody>, ApiError> {
    let id = letter_of(&id)?;
    let portion = Portion { selection: Selection::Ids(vec![id]), after: None, limit: 1 };
    let discarded = discard(&api, portion).await?;
    if discarded.missing.is_empty() { Ok(Json(body(discarded))) } else { Err(NO_SUCH_DEAD_LETTER) }
}

/// Discard many dead letters
///
/// Those of some ids, or those that a filter finds, the oldest first: at most `limit` of them, in one transaction. Where
/// there are more, `next` says how to go on. They are deleted for good, and counted.
#[utoipa::path(
    post, path = "/dead-letters/discard", tag = "dead letters", operation_id = "discard_dead_letters",
    request_body(content = LettersBody, content_type = "application/json"),
    responses(
        (status = 200, description = "They are gone.", body = DiscardedBody),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 409, description = "The api's role in the database may not do this.", body = ErrorBody, example = json!({"detail": "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 65536 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The request does not validate; nothing is discarded.", body = InvalidBody, example = json!({"detail": [{"loc": ["body"], "msg": "Field required: 'ids' or 'filter'", "type": "missing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn many(
    State(api): State<Arc<DeadLettersApi>>,
    request: Request<Body>,
) -> Result<Json<DiscardedBody>, ApiError> {
    let portion = portion_of(&api, request).await?;
    Ok(Json(body(discard(&api, portion).await?)))
}

async fn discard(api: &DeadLettersApi, portion: Portion) -> Result<Discarded, ApiError> {
    let discarded = dead_letters::discard(&api.pool, portion).await.map_err(refused)?;
    tracing::info!(letters = discarded.letters, "dead letters discarded");
    Ok(discarded)
}

fn body(discarded: Discarded) -> DiscardedBody {
    let Discarded { letters, missing, next } = discarded;
    DiscardedBody { discarded: letters, missing, next: next.map(cursor_of) }
}
