//! `POST /dead-letters/{id}/replay` and `POST /dead-letters/replay`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State},
    http::Request,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    DeadLettersApi, NO_SUCH_DEAD_LETTER, cursor_of, letter_of, portion_of, refused, selection::LettersBody,
};
use crate::{
    http::server::{ApiError, ErrorBody, InvalidBody, Parameters, parameters::one_of},
    store::dead_letters::{self, Portion, Refused, Replayed, Selection},
};

/// What came of a replay.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"dry_run": false, "stored": 998, "duplicates": 1, "refused": 1, "reasons": {"unknown_sensor": 1}, "letters": [{"id": 1042, "reason": "unknown_sensor", "detail": "there is no sensor 77"}], "missing": [], "next": null}))]
pub(super) struct ReplayedBody {
    /// Whether this is only what would come of it.
    dry_run: bool,
    /// Readings that are stored now; they are no dead letters' any more.
    stored: u64,
    /// Readings that were there already; they are no dead letters' any more.
    duplicates: u64,
    /// Dead letters that stay; one of many readings with those that are still refused.
    refused: u64,
    /// The same by reason.
    reasons: BTreeMap<String, u64>,
    /// Each of them, with the reason of today.
    letters: Vec<Refused>,
    /// Ids that were asked for and are no dead letters', or no longer.
    missing: Vec<i64>,
    /// What to send as `after` with the same body to go on; null at the end.
    next: Option<String>,
}

/// Replay a dead letter
///
/// Its reading is stored where the rules of today allow it, exactly once, and the dead letter goes in the same transaction.
/// Else it stays, with the reason of today. Of a dead letter of many readings each has a fate of its own; the dead letter stays for
/// those that are still refused.
#[utoipa::path(
    post, path = "/dead-letters/{id}/replay", tag = "dead letters", operation_id = "replay_dead_letter",
    params(
        ("id" = i64, Path, description = "The dead letter", example = 1042, minimum = 1),
        ("dry_run" = Option<bool>, Query, description = "`true` to report only what would happen", example = true),
    ),
    responses(
        (status = 200, description = "What came of it.", body = ReplayedBody),
        (status = 404, description = "There is no such dead letter, or no longer.", body = ErrorBody, example = json!({"detail": "Dead letter not found."})),
        (status = 409, description = "The api's role in the database may not do this.", body = ErrorBody, example = json!({"detail": "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may."})),
        (status = 422, description = "The request does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "id"], "msg": "Input should be a valid integer from 1 to 9223372036854775807", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds. The dead letter is stored or still there, never both.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn one(
    State(api): State<Arc<DeadLettersApi>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<ReplayedBody>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let is_dry_run = dry_run(&mut parameters);
    parameters.finish()?;
    let id = letter_of(&id)?;
    let portion = Portion { selection: Selection::Ids(vec![id]), after: None, limit: 1 };
    let replayed = replay(&api, portion, is_dry_run).await?;
    if replayed.missing.is_empty() { Ok(Json(body(replayed, is_dry_run))) } else { Err(NO_SUCH_DEAD_LETTER) }
}

/// Replay many dead letters
///
/// Those of some ids, or those that a filter finds, the oldest first: at most `limit` of them, in one transaction. Where
/// there are more, `next` says how to go on.
#[utoipa::path(
    post, path = "/dead-letters/replay", tag = "dead letters", operation_id = "replay_dead_letters",
    params(("dry_run" = Option<bool>, Query, description = "`true` to report only what would happen", example = true)),
    request_body(content = LettersBody, content_type = "application/json"),
    responses(
        (status = 200, description = "What came of it.", body = ReplayedBody),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 409, description = "The api's role in the database may not do this.", body = ErrorBody, example = json!({"detail": "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 65536 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The request does not validate; nothing is replayed.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "ids", 0], "msg": "Input should be a valid integer from 1 to 9223372036854775807", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds. Each dead letter is stored or still there, never both.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn many(
    State(api): State<Arc<DeadLettersApi>>,
    RawQuery(query): RawQuery,
    request: Request<Body>,
) -> Result<Json<ReplayedBody>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let is_dry_run = dry_run(&mut parameters);
    parameters.finish()?;
    let portion = portion_of(&api, request).await?;
    Ok(Json(body(replay(&api, portion, is_dry_run).await?, is_dry_run)))
}

fn dry_run(parameters: &mut Parameters<'_>) -> bool {
    let asked = parameters.take("dry_run", |text| one_of(text, &[("true", true), ("false", false)]));
    asked.unwrap_or(false)
}

async fn replay(api: &DeadLettersApi, portion: Portion, is_dry_run: bool) -> Result<Replayed, ApiError> {
    let replayed =
        dead_letters::replay(&api.pool, portion, api.replay_rules()?, is_dry_run).await.map_err(refused)?;
    let Replayed { stored, duplicates, .. } = replayed;
    tracing::info!(stored, duplicates, refused = replayed.refused.len(), is_dry_run, "dead letters replayed");
    Ok(replayed)
}

fn body(replayed: Replayed, is_dry_run: bool) -> ReplayedBody {
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for refused in &replayed.refused {
        *reasons.entry(refused.reason.clone()).or_default() += 1;
    }
    ReplayedBody {
        dry_run: is_dry_run,
        stored: replayed.stored,
        duplicates: replayed.duplicates,
        refused: replayed.refused.len() as u64,
        reasons,
        letters: replayed.refused,
        missing: replayed.missing,
        next: replayed.next.map(cursor_of),
    }
}
