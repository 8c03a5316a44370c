//! The name of a request, for its log lines, its answer and the records that come of it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::{Uuid, fmt::Hyphenated};

/// Carries the name both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that is taken from a client.
const ID_MAX_BYTES: usize = 128;

tokio::task_local! {
    /// Of the request that the task works on. A task that it starts has none.
    static CURRENT: HeaderValue;
}

/// Works on a request under its name.
pub(super) fn during<F: Future>(id: HeaderValue, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(id, work)
}

/// The name of the request that this task works on: visible ASCII without quotes and spaces.
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(|id| id.to_str().unwrap_or_default().to_owned()).ok()
}

/// The client's own name for the request where it is a fair one, otherwise a new one; the headers have it then.
pub(in crate::http) fn settle(headers: &mut HeaderMap) -> HeaderValue {
    match headers.get(X_REQUEST_ID) {
        Some(id) if is_fair(id.as_bytes()) => id.clone(),
        _ => {
            let id = new();
            headers.insert(X_REQUEST_ID, id.clone());
            id
        }
    }
}

/// A UUID that begins with the time, so that names sort as the requests came.
fn new() -> HeaderValue {
    let mut buffer = [0; Hyphenated::LENGTH];
    let id = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(id).expect("a UUID is plain ASCII")
}

/// Neither long nor with anything in it that could end a log's field or line.
fn is_fair(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
    (1..=ID_MAX_BYTES).contains(&id.len()) && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_name_stays_and_another_gives_way() {
        for (given, stays) in [
            ("6f1c-7:a", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            ("", false),
            ("two words", false),
            ("a\"b", false),
            (&"x".repeat(129), false),
        ] {
            let mut headers = HeaderMap::from_iter([(X_REQUEST_ID, given.parse().unwrap())]);
            let id = settle(&mut headers);
            assert_eq!(id == given, stays, "{given}");
            assert_eq!(headers[X_REQUEST_ID], id);
        }
        let (first, second) = (settle(&mut HeaderMap::new()), settle(&mut HeaderMap::new()));
        assert!(first != second && first.len() == 36);
    }
}
