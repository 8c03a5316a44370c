//! What the sender of many readings is told.

use std::borrow::Cow;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::intake::{ItemError, Tally};
use crate::http::{
    ingest::receipts::{Receipt, State},
    server::{ApiError, FieldError, Step, ValidationErrors},
};

/// What came of the readings of a request.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadingsReport {
    /// Readings that are in Kafka, on all in-sync replicas.
    #[schema(example = 998)]
    accepted: u64,
    /// Items that are not.
    #[schema(example = 2)]
    failed: u64,
    /// What is wrong with them, item by item: the first 100.
    errors: Vec<ItemError>,
    /// The last record of each partition that got any: once it is stored, so are the others.
    receipts: Vec<Receipt>,
    /// Whether queries show the readings; only where `Prefer: wait` asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

/// The body could not be read to its end. Where something of it was accepted before, the rest is said, too.
#[derive(Serialize, ToSchema)]
pub(super) struct BrokenReport {
    /// Why, for people.
    #[schema(example = "The body broke off. Of the items after the first 1000 none was taken.")]
    detail: Cow<'static, str>,
    /// Readings that are in Kafka, on all in-sync replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 998)]
    accepted: Option<u64>,
    /// Items before the break that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 2)]
    failed: Option<u64>,
    /// What is wrong with them, item by item: the first 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<ItemError>>,
    /// The last record of each partition that got any.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<Vec<Receipt>>,
    /// Whether queries show the readings; only where `Prefer: wait` asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

/// The answer to a body that was read to its end, or to where `broken` says.
pub(super) fn answer(
    tally: Tally,
    broken: Option<ApiError>,
    receipts: Vec<Receipt>,
    state: Option<State>,
) -> Response {
    let Tally { accepted, failed, .. } = tally;
    if accepted == 0 {
        return broken.unwrap_or_else(|| nothing_accepted(tally)).into_response();
    }
    let errors = tally.failures;
    let Some(broken) = broken else {
        let status = if failed == 0 { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
        return (status, Json(ReadingsReport { accepted, failed, errors, receipts, state })).into_response();
    };
    let read = accepted + failed;
    let report = BrokenReport {
        detail: format!("{} Of the items after the first {read} none was taken.", broken.detail()).into(),
        accepted: Some(accepted),
        failed: Some(failed),
        errors: Some(errors),
        receipts: Some(receipts),
        state,
    };
    (broken.status(), Json(report)).into_response()
}

fn nothing_accepted(tally: Tally) -> ApiError {
    const BODY: Step = Step::Field("body");
    if tally.is_unavailable {
        return ApiError::Unavailable("The database does not answer now. Nothing was stored.".into());
    }
    let mut errors = ValidationErrors::default();
    for ItemError { index, code, message } in tally.failures {
        errors.push(&[BODY, Step::Index(index as usize)], FieldError::new(code, message));
    }
    if errors.is_empty() {
        let msg = "List should have at least 1 item after validation, not 0";
        errors.push(&[BODY], FieldError::new("too_short", msg));
    }
    ApiError::Invalid(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(accepted: u64, failed: u64, broken: Option<ApiError>) -> u16 {
        let tally = Tally { accepted, failed, ..Tally::default() };
        answer(tally, broken, Vec::new(), None).status().as_u16()
    }

    #[test]
    fn the_status_says_how_many_were_accepted() {
        assert_eq!(status(3, 0, None), 202);
        assert_eq!(status(3, 1, None), 207);
        assert_eq!(status(0, 1, None), 422);
        assert_eq!(status(0, 0, None), 422);
        for (error, expected) in [
            (ApiError::BadBody, 400),
            (ApiError::BodyTimedOut, 408),
            (ApiError::BodyTooLarge { max_bytes: 1 }, 413),
        ] {
            assert_eq!(status(3, 1, Some(error)), expected);
        }
        let tally = Tally { failed: 1, is_unavailable: true, ..Tally::default() };
        assert_eq!(answer(tally, None, Vec::new(), None).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
