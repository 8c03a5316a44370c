//! What a request says about where it belongs goes on with its readings: into the headers of their records.

use axum::http::{HeaderMap, HeaderName};

use super::request_id::X_REQUEST_ID;
use crate::kafka::RecordHeaders;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What W3C asks everybody to pass on.
const TRACESTATE_MAX_BYTES: usize = 512;

/// `traceparent` and `tracestate`, each where it is there and has its form, and the request's name.
pub(super) fn record_headers(headers: &HeaderMap) -> RecordHeaders {
    let mut record = RecordHeaders::default();
    if let Some(parent) = text(headers, &TRACEPARENT).filter(|parent| is_traceparent(parent)) {
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

/// The header's value, if it comes once and is visible ASCII.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// `00-<32 digits of the trace>-<16 of its parent>-<2 flags>`, in lower case; later versions may say more after it.
/// <https://www.w3.org/TR/trace-context/#traceparent-header>
fn is_traceparent(text: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |id: &str, length| id.len() == length && is_hex(id) && id.bytes().any(|byte| byte != b'0');
    let mut parts = text.splitn(5, '-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let has_more = parts.next().is_some();
    let is_version = version.len() == 2 && is_hex(version) && version != "ff";
    is_version
        && is_id(trace, 32)
        && is_id(parent, 16)
        && flags.len() == 2
        && is_hex(flags)
        && !(has_more && version == "00")
}

/// All of them in one list, as W3C has it; none where that is longer than must be passed on.
fn tracestate(headers: &HeaderMap) -> Option<String> {
    let values: Option<Vec<&str>> =
        headers.get_all(TRACESTATE).into_iter().map(|value| value.to_str().ok()).collect();
    let state = values?.join(",");
    (1..=TRACESTATE_MAX_BYTES).contains(&state.len()).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_has_its_form() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        assert!(is_traceparent(&good.replacen("00", "cc", 1)));
        assert!(is_traceparent(&format!("{}-what-comes-one-day", good.replacen("00", "cc", 1))));
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replacen("00", "ff", 1),
            &good[1..],
            &good[..54],
            &format!("{good}-more"),
            &format!("{good} "),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &good.replace("b7ad6b7169203331", &"0".repeat(16)),
            &good.replace("b7ad6b7169203331", "b7ad6b716920333g"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

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
