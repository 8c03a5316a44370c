//! What a request says about where it belongs goes on with its readings: into the headers of their records.

use axum::http::{HeaderMap, HeaderName};

use super::request_id::X_REQUEST_ID;
use crate::{
    kafka::RecordHeaders,
    traces::{self, Remote, is_traceparent},
};

const TRACEPARENT: HeaderName = HeaderName::from_static(traces::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(traces::TRACESTATE);

/// What W3C asks everybody to pass on.
const TRACESTATE_MAX_BYTES: usize = 512;

/// `traceparent` and `tracestate`, each where it is there and has its form, and the request's name.
///
/// Where traces are on, the former two are those of the span that sends the records, which the outbox knows.
pub(in crate::http) fn record_headers(headers: &HeaderMap) -> RecordHeaders {
    let mut record = RecordHeaders::default();
    if !traces::are_on()
        && let Some(parent) = text(headers, &TRACEPARENT).filter(|parent| is_traceparent(parent))
    {
        record = record.with(TRACEPARENT.as_str(), parent);
        if let Some(state) = tracestate(headers) {
            record = record.with(TRACESTATE.as_str(), &state);
        }
    }
    match text(headers, &X_REQUEST_ID) {
        Some(id) => record.with(X_REQUEST_ID.as_str(), id),
        None => record,
    }
}

/// The client's span that a request belongs to.
pub(in crate::http) fn client(headers: &HeaderMap) -> Option<Remote> {
    Remote::parse(text(headers, &TRACEPARENT)?, tracestate(headers).as_deref())
}

/// The header's value, if it comes once and is visible ASCII.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// All of them in one list, as W3C has it; none where that is longer than must be passed on.
pub(in crate::http) fn tracestate(headers: &HeaderMap) -> Option<String> {
    let values: Option<Vec<&str>> =
        headers.get_all(TRACESTATE).into_iter().map(|value| value.to_str().ok()).collect();
    let state = values?.join(",");
    (1..=TRACESTATE_MAX_BYTES).contains(&state.len()).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_without_its_parent_says_nothing() {
        let headers = HeaderMap::from_iter([(TRACESTATE, "a=b".parse().unwrap())]);
        assert!(format!("{:?}", record_headers(&headers)).contains("None"));
    }

    #[test]
    fn states_are_one_list_with_a_bound() {
        let mut headers = HeaderMap::new();
        headers.append(TRACESTATE, "a=b".parse().unwrap());
        headers.append(TRACESTATE, "c=d".parse().unwrap());
        assert_eq!(tracestate(&headers).as_deref(), Some("a=b,c=d"));
        headers.append(TRACESTATE, "x".repeat(512).parse().unwrap());
        assert_eq!(tracestate(&headers), None);
    }
}
