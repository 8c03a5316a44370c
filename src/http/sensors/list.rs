//! `GET /sensors`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    bodies::StoredBody,
    fields::{TEXT_MAX_CHARS, TYPE_MAX_CHARS, text},
};
use crate::{
    http::{
        sensors::SensorsApi,
        server::{
            ApiError, ErrorBody, InvalidBody, Parameters,
            parameters::{cursor, positive},
        },
    },
    store::{
        StoreError, Trouble,
        sensors::{self, Filter},
    },
};

const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;

/// A page of sensors.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"sensors": [{"sensor_id": 3, "sensor_type": "temperature", "description": "Greenhouse", "location": "North"}], "next": "AAAAAw"}))]
pub(super) struct PageBody {
    /// In the order of their ids.
    sensors: Vec<StoredBody>,
    /// What to send as `after` for the page behind this one; null on the last.
    next: Option<String>,
}

/// List sensors
///
/// In the order of their ids, page by page. Sensors that are made or deleted meanwhile never make another one appear
/// twice or not at all. Where a replica answers (`READ_DATABASE_URL`), a sensor is listed once the replica has it.
#[utoipa::path(
    get, path = "/sensors", tag = "sensors", operation_id = "list_sensors",
    params(
        ("type" = Option<String>, Query, description = "Only those of this type", max_length = 50, pattern = "^[^\\u0000]*$", example = "temperature"),
        ("location" = Option<String>, Query, description = "Only those in this place", max_length = 255, pattern = "^[^\\u0000]*$", example = "Backyard"),
        ("q" = Option<String>, Query, description = "Only those that have this text in their type, description or location, in whatever case", max_length = 255, pattern = "^[^\\u0000]*$", example = "green"),
        ("limit" = Option<u16>, Query, description = "Most sensors of a page; 100 where absent", minimum = 1, maximum = 1000, example = 100),
        ("after" = Option<String>, Query, description = "`next` of the page before this one", pattern = "^[A-Za-z0-9_-]{5}[AQgw]$", example = "AAAAAw"),
    ),
    responses(
        (status = 200, description = "Sensors; maybe none.", body = PageBody),
        (status = 422, description = "A parameter does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "limit"], "msg": "Input should be a valid integer from 1 to 1000", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer, or not in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<SensorsApi>>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageBody>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let asked = Asked::take(&mut parameters);
    parameters.finish()?;
    let page = sensors::page(&api.reads, asked.filter, asked.after, asked.limit).await.map_err(refused)?;
    let next = page
        .sensors
        .last()
        .filter(|_| page.has_more)
        .map(|last| cursor::encode(last.sensor_id.to_be_bytes()));
    Ok(Json(PageBody { sensors: page.sensors.into_iter().map(Into::into).collect(), next }))
}

/// Why there is no page.
fn refused(error: StoreError) -> ApiError {
    if error.trouble() == Trouble::TooLong {
        tracing::debug!("{error}: {}", error.server_message());
        return ApiError::Unavailable(
            "The list took too long; `type` and `location` are found faster than `q`.".into(),
        );
    }
    error.into()
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    filter: Filter,
    after: Option<i32>,
    limit: u16,
}

impl Asked {
    fn take(parameters: &mut Parameters<'_>) -> Self {
        let mut some_text =
            |name: &'static str, longest: usize| parameters.take(name, |value| text(value, 0, longest));
        let filter = Filter {
            sensor_type: some_text("type", TYPE_MAX_CHARS),
            location: some_text("location", TEXT_MAX_CHARS),
            text: some_text("q", TEXT_MAX_CHARS),
        };
        let limit = parameters.take("limit", |text| positive(text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
        let after = parameters.take("after", |text| cursor::decode(text).map(i32::from_be_bytes));
        Self { filter, after, limit: limit as u16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::errors::validation::Step;

    fn asked(query: &str) -> Result<Asked, Vec<(Vec<Step>, &'static str)>> {
        let mut parameters = Parameters::of(Some(query));
        let asked = Asked::take(&mut parameters);
        match parameters.finish() {
            Ok(()) => Ok(asked),
            Err(ApiError::Invalid(errors)) => {
                Err(errors.into_vec().into_iter().map(|error| (error.loc, error.kind)).collect())
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_for() {
        let nothing = Asked { filter: Filter::default(), after: None, limit: LIMIT_DEFAULT as u16 };
        assert_eq!(asked(""), Ok(nothing));
        let filter = Filter {
            sensor_type: Some("warm & wet".to_owned()),
            location: Some(String::new()),
            text: Some("ü".to_owned()),
        };
        let query = "type=warm+%26%20wet&location=&q=%C3%BC&limit=1000&after=AAAAAw&other=1";
        assert_eq!(asked(query), Ok(Asked { filter, after: Some(3), limit: 1000 }));
    }

    #[test]
    fn every_fault_is_named() {
        let errors = asked(&format!("type={}&q=%00&limit=0&after=3", "x".repeat(51))).unwrap_err();
        let expected =
            [("type", "string_too_long"), ("q", "string_nul"), ("limit", "int_parsing"), ("after", "cursor")];
        assert_eq!(
            errors,
            expected.map(|(name, kind)| (vec![Step::Field("query"), Step::Field(name)], kind))
        );
        for limit in ["1001", "-1", "ten", "1.0", ""] {
            assert!(asked(&format!("limit={limit}")).is_err(), "{limit}");
        }
    }
}
