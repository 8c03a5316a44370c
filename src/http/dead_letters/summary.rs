//! `GET /dead-letters/summary`.

use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{DeadLettersApi, refused};
use crate::{
    http::server::{ApiError, ErrorBody},
    store::dead_letters::{self, OverflowRange, ReasonSummary},
};

/// How many dead letters there are, and since when.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"letters": 12, "oldest": "2026-11-01T00:00:01.5Z", "newest": "2026-11-02T09:30:00Z", "reasons": [{"reason": "unknown_sensor", "letters": 12, "replayable": true, "oldest": "2026-11-01T00:00:01.5Z", "newest": "2026-11-02T09:30:00Z"}], "not_kept": []}))]
pub(super) struct SummaryBody {
    /// All of them; those of a reason count to a million and no further.
    letters: i64,
    /// When the first was set aside; null where there is none.
    oldest: Option<DateTime<Utc>>,
    /// When the last was.
    newest: Option<DateTime<Utc>>,
    /// Reasons of which there are any.
    reasons: Vec<ReasonSummary>,
    /// What came beyond `DEAD_LETTER_MAX` and is not kept: where the log has it. The newest 1,000 ranges.
    not_kept: Vec<OverflowRange>,
}

/// Count dead letters
#[utoipa::path(
    get, path = "/dead-letters/summary", tag = "dead letters", operation_id = "count_dead_letters",
    responses(
        (status = 200, description = "How many there are, by reason.", body = SummaryBody),
        (status = 409, description = "The api's role in the database may not do this.", body = ErrorBody, example = json!({"detail": "The api's role in the database may not do this: run `sensorpipe dead-letters` with one that may."})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn show(State(api): State<Arc<DeadLettersApi>>) -> Result<Json<SummaryBody>, ApiError> {
    let mut reasons = dead_letters::summary(&api.current_reads).await.map_err(refused)?;
    reasons.retain(|reason| reason.letters > 0);
    let not_kept = dead_letters::not_kept(&api.current_reads).await.map_err(refused)?;
    Ok(Json(SummaryBody {
        letters: reasons.iter().map(|reason| reason.letters).sum(),
        oldest: reasons.iter().filter_map(|reason| reason.oldest).min(),
        newest: reasons.iter().filter_map(|reason| reason.newest).max(),
        reasons,
        not_kept,
    }))
}
