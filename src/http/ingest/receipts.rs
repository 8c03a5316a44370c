//! Receipts: where readings are in the log, and `GET /receipts/{partition}/{offset}`, what became of them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State as AxumState},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{IngestApi, visibility, wait_preference::Wait};
use crate::{
    http::server::{ApiError, Client, ErrorBody, InvalidBody, Parameters, parameters::digits},
    kafka::producer,
    store::receipts,
};

/// Where a record is in the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// The topic.
    #[schema(example = "sensor-readings")]
    topic: String,
    /// Its partition; the same for all readings of a sensor.
    #[schema(example = 4)]
    partition: i32,
    /// The record's place in the partition.
    #[schema(example = 1042)]
    offset: i64,
}

impl Receipt {
    /// With the topic's name.
    pub(in crate::http) fn new(api: &IngestApi, receipt: producer::Receipt) -> Self {
        let producer::Receipt { partition, offset } = receipt;
        Self { topic: api.producer.topic().to_owned(), partition, offset }
    }
}

/// Whether queries show the readings of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum State {
    /// Not yet.
    Pending,
    /// Each is stored, a duplicate, or dead-lettered.
    Stored,
}

impl From<bool> for State {
    fn from(is_stored: bool) -> Self {
        if is_stored { Self::Stored } else { Self::Pending }
    }
}

/// What became of a record.
#[derive(Serialize, ToSchema)]
pub(super) struct ReceiptBody {
    /// Where it is.
    receipt: Receipt,
    /// Whether queries show its readings.
    state: State,
    /// How many of its readings are in `dead_letters`; absent while it is pending. The others are stored or
    /// duplicates of such as are: which of the two is counted for each partition, not for each record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    dead_lettered: Option<i64>,
    /// The same by reason. Where more than 1,000 of its readings are, they have one dead letter together and count for
    /// its reason, which may not be that of each; its `detail` has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!({"unknown_sensor": 1}))]
    reasons: Option<BTreeMap<String, i64>>,
    /// Present where more dead letters came than are kept (`DEAD_LETTER_MAX`): for these reasons readings of records
    /// around this one were counted and not kept, its own maybe among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    maybe_not_kept: Vec<String>,
}

/// What became of readings
///
/// A receipt comes with the answer to readings. It is stored when queries show them.
#[utoipa::path(
    get, path = "/receipts/{partition}/{offset}", tag = "readings", operation_id = "read_receipt",
    params(
        ("partition" = i32, Path, description = "The receipt's partition", example = 4, minimum = 0),
        ("offset" = i64, Path, description = "The receipt's offset", example = 1042, minimum = 0),
        ("Prefer" = Option<String>, Header, description = "`wait=5`: answer when it is stored, or after so many seconds (RFC 7240)."),
    ),
    responses(
        (status = 200, description = "What is known.", body = ReceiptBody, headers(("Preference-Applied" = String, description = "Where `Prefer: wait` was")), examples(
            ("pending" = (value = json!({"receipt": {"topic": "sensor-readings", "partition": 4, "offset": 1042}, "state": "pending"}))),
            ("stored" = (value = json!({"receipt": {"topic": "sensor-readings", "partition": 4, "offset": 1042}, "state": "stored", "dead_lettered": 1, "reasons": {"unknown_sensor": 1}}))),
        )),
        (status = 404, description = "The topic has no such partition, or no such record yet, or it is older than what is stored here, or Kafka's retention took it unread.", body = ErrorBody, example = json!({"detail": "No such record."})),
        (status = 422, description = "The partition or the offset is none.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "offset"], "msg": "Input should be a valid integer from 0 to 9223372036854775807", "type": "int_parsing"}]})),
        (status = 503, description = "Kafka or the database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn read(
    AxumState(api): AxumState<Arc<IngestApi>>,
    Path((partition, offset)): Path<(String, String)>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let receipt = receipt(&partition, &offset)?;
    let mut is_stored = client.querying(is_stored(&api, receipt)).await?;
    let wait = Wait::asked(&headers);
    if let Some(wait) = wait
        && !is_stored
    {
        is_stored = api.visibility.stored_within(&[receipt], api.answer_by(started, wait)).await;
    }
    let mut body = ReceiptBody {
        receipt: Receipt::new(&api, receipt),
        state: is_stored.into(),
        dead_lettered: None,
        reasons: None,
        maybe_not_kept: vec![],
    };
    if is_stored {
        client.querying(check_dead_letters(&api, receipt, &mut body)).await?;
    }
    let mut response = Json(body).into_response();
    if let Some(wait) = wait {
        wait.note(&mut response);
    }
    Ok(response)
}

/// Whether a record is stored; an error where there is none.
async fn is_stored(api: &IngestApi, receipt: producer::Receipt) -> Result<bool, ApiError> {
    const NO_RECORD: ApiError = ApiError::NotFound("No such record.");
    let producer::Receipt { partition, offset } = receipt;
    let topic = api.producer.live_topic().await?;
    if partition >= topic.partitions {
        return Err(ApiError::NotFound("No such partition."));
    }
    let progress = receipts::progress(&api.current_reads, visibility::log(&api.producer).await?).await?;
    match progress.into_iter().find(|progress| progress.partition == partition) {
        Some(progress) if offset < progress.first_offset => Err(NO_RECORD),
        Some(progress) if offset < progress.next_offset => Ok(true),
        Some(_) | None if api.producer.reaches(&topic, partition, offset).await? => Ok(false),
        Some(_) | None => Err(NO_RECORD),
    }
}

/// Adds what became of a stored record's readings that were set aside.
async fn check_dead_letters(
    api: &IngestApi,
    receipt: producer::Receipt,
    body: &mut ReceiptBody,
) -> Result<(), ApiError> {
    if is_given_up(api, receipt).await? {
        return Err(ApiError::NotFound("Kafka's retention took this record before it was stored."));
    }
    let log = visibility::log(&api.producer).await?;
    let producer::Receipt { partition, offset } = receipt;
    let reasons = receipts::dead_lettered(&api.current_reads, log.clone(), partition, offset).await?;
    body.maybe_not_kept = receipts::maybe_not_kept(&api.current_reads, log, partition, offset).await?;
    body.dead_lettered = Some(reasons.iter().map(|(_, count)| count).sum());
    body.reasons = Some(reasons.into_iter().collect());
    Ok(())
}

/// Whether an operator has moved the stored offset over a record that was gone from the log, unread.
async fn is_given_up(api: &IngestApi, receipt: producer::Receipt) -> Result<bool, ApiError> {
    let log = visibility::log(&api.producer).await?;
    Ok(receipts::given_up(&api.current_reads, log, receipt.partition, receipt.offset).await?)
}

pub(in crate::http) fn receipt(partition: &str, offset: &str) -> Result<producer::Receipt, ApiError> {
    let mut parameters = Parameters::of(None);
    let partition =
        parameters.of_path("partition", digits(partition, 0, i32::MAX.into())).unwrap_or_default();
    let offset = parameters.of_path("offset", digits(offset, 0, i64::MAX)).unwrap_or_default();
    parameters.finish().map(|()| producer::Receipt { partition: partition as i32, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_two_numbers() {
        let found = receipt("4", "9223372036854775807").ok().unwrap();
        assert_eq!(found, producer::Receipt { partition: 4, offset: i64::MAX });
        for (partition, offset, errors) in [
            ("-1", "0", 1),
            ("+1", "0", 1),
            ("2147483648", "0", 1),
            ("0", "9223372036854775808", 1),
            ("a", "", 2),
        ] {
            let Err(ApiError::Invalid(found)) = receipt(partition, offset) else {
                panic!("{partition}/{offset} is taken")
            };
            assert_eq!(found.into_vec().len(), errors);
        }
    }
}
