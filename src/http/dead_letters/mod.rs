//! Dead letters: looked at, replayed and discarded. For the scope `admin` alone, since they hold whatever somebody sent.

pub(super) mod discard;
mod letter;
pub(super) mod list;
pub(super) mod replay;
pub(super) mod summary;
mod which;

use axum::{body::Body, http::Request};

use super::{
    Api,
    body::read_value,
    cursor,
    error::ApiError,
    fault::{Faults, Refusal, Step},
};
use crate::store::{StoreError, dead_letters::Portion};

const NO_SUCH_LETTER: ApiError = ApiError::NotFound("Dead letter not found.");
const ID: [Step; 2] = [Step::Field("path"), Step::Field("id")];
/// SQLSTATE `insufficient_privilege`.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// A thousand ids, or a filter, with room to spare.
const BODY_MAX_BYTES: usize = 64 << 10;

/// Which letters a body means.
async fn portion_of(api: &Api, request: Request<Body>) -> Result<Portion, ApiError> {
    let mut held = api.admission.hold_nothing();
    let body = read_value(&mut held, request, api.limits.body.at_most(BODY_MAX_BYTES)).await?;
    which::portion(&body).map_err(ApiError::Invalid)
}

/// The id of a path, or of a list.
fn letter_id(text: &str) -> Result<i64, Refusal> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&id| is_digits && id > 0).ok_or_else(not_an_id)
}

/// The letter of a path in which nothing else can be wrong.
fn letter_of(text: &str) -> Result<i64, ApiError> {
    let mut faults = Faults::default();
    faults.check(&ID, letter_id(text)).ok_or(ApiError::Invalid(faults))
}

fn not_an_id() -> Refusal {
    Refusal::new("int_parsing", format!("Input should be a valid integer from 1 to {}", i64::MAX))
}

/// The last id of a page, for who goes on behind it.
fn cursor_of(id: i64) -> String {
    cursor::encode(id.to_be_bytes())
}

fn id_of(cursor: &str) -> Result<i64, Refusal> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_positive_integer() {
        assert_eq!(letter_id("9223372036854775807"), Ok(i64::MAX));
        for text in ["0", "-1", "+1", "1.0", "", "9223372036854775808", "one"] {
            assert_eq!(letter_id(text).unwrap_err().kind, "int_parsing", "{text}");
        }
    }
}
