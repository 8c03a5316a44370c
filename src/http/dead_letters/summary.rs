//! `GET /dead-letters/summary`.

use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::refused;
use crate::{
    http::{
        dead_letters::DeadLettersApi,
        server::{ApiError, ErrorBody},
    },
    reading::Reason,
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
    reasons: Vec<ReasonBody>,
    /// What came beyond `DEAD_LETTER_MAX` and is not kept: where the log has it. The newest 1,000 ranges.
    not_kept: Vec<NotKeptBody>,
}

/// Readings of one reason between two offsets of a partition that were counted and not kept.
#[derive(Serialize, ToSchema)]
pub(super) struct NotKeptBody {
    /// The topic.
    topic: String,
    /// Kafka's id of it.
    topic_id: String,
    /// The partition.
    partition: i32,
    /// Why they were refused.
    reason: String,
    /// The first record.
    first_offset: i64,
    /// The last record; others in between are none of these.
    last_offset: i64,
    /// How many readings.
    letters: i64,
    /// When the first was counted.
    since: DateTime<Utc>,
    /// When the last was.
    until: DateTime<Utc>,
}

/// The dead letters of one reason.
#[derive(Serialize, ToSchema)]
pub(super) struct ReasonBody {
    /// The reason.
    reason: String,
    /// How many, to a million.
    letters: i64,
    /// Whether a replay may store them as they are.
    replayable: bool,
    /// When the first was set aside.
    oldest: Option<DateTime<Utc>>,
    /// When the last was.
    newest: Option<DateTime<Utc>>,
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
        reasons: reasons.into_iter().map(body).collect(),
        not_kept: not_kept.into_iter().map(range).collect(),
    }))
}

fn range(range: OverflowRange) -> NotKeptBody {
    let OverflowRange {
        topic,
        topic_id,
        partition,
        reason,
        first_offset,
        last_offset,
        letters,
        since,
        until,
    } = range;
    NotKeptBody { topic, topic_id, partition, reason, first_offset, last_offset, letters, since, until }
}

fn body(summary: ReasonSummary) -> ReasonBody {
    let ReasonSummary { reason, letters, oldest, newest } = summary;
    let replayable = reason.parse().is_ok_and(Reason::may_pass_later);
    ReasonBody { reason, letters, replayable, oldest, newest }
}
