//! Small texts of requests: `Prefer`, `traceparent`, `tracestate`, `x-request-id`, and a receipt's path.

use std::time::Duration;

use sensorpipe::http::parsing::{is_traceparent, receipt, request_id, tracestate, wait};

const LONGEST: Duration = Duration::from_secs(20);

/// Each line is a header's value; the first two are a receipt's partition and offset, too.
pub fn check(bytes: &[u8]) {
    let values: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    waits(&values);
    states(&values);
    names(&values);
    for value in &values {
        let text = String::from_utf8_lossy(value);
        assert_eq!(is_traceparent(&text), is_trace_context(&text), "{text}");
    }
    if let [partition, offset, ..] = values.as_slice() {
        let (partition, offset) = (String::from_utf8_lossy(partition), String::from_utf8_lossy(offset));
        let found = receipt(&partition, &offset);
        assert_eq!(found, natural(&partition).zip(natural(&offset)), "{partition}/{offset}");
    }
}

/// Bounded, and the same in other letters and among other preferences.
fn waits(values: &[&[u8]]) {
    let found = wait(values);
    assert!(found.is_none_or(|wait| (Duration::from_secs(1)..=LONGEST).contains(&wait)), "{found:?}");
    let louder: Vec<Vec<u8>> = values.iter().map(|value| value.to_ascii_uppercase()).collect();
    let louder: Vec<&[u8]> = louder.iter().map(Vec::as_slice).collect();
    assert_eq!(wait(&louder), found, "in upper case");
    let among = [&[&b"respond-async; wait=3, return=minimal"[..]], values].concat();
    assert_eq!(wait(&among), found, "among others");
}

/// <https://www.w3.org/TR/trace-context/#traceparent-header>, place by place.
fn is_trace_context(text: &str) -> bool {
    let Some((head, rest)) = text.as_bytes().split_at_checked(55) else { return false };
    let is_lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let in_places = head.iter().enumerate().all(|(place, byte)| match place {
        2 | 35 | 52 => *byte == b'-',
        _ => is_lower_hex(byte),
    });
    let says_something = |id: &[u8]| id.iter().any(|byte| *byte != b'0');
    let version = &head[..2];
    in_places
        && version != b"ff"
        && says_something(&head[3..35])
        && says_something(&head[36..52])
        && (rest.is_empty() || (version != b"00" && rest[0] == b'-'))
}

fn states(values: &[&[u8]]) {
    if let Some(state) = tracestate(values) {
        assert!((1..=512).contains(&state.len()), "{} bytes", state.len());
        assert!(state.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)), "{state}");
    }
}

/// A request's name is fit for a log's line, and a fair one is kept.
fn names(values: &[&[u8]]) {
    let is_fair = |name: &[u8]| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
        (1..=128).contains(&name.len()) && name.iter().all(is_plain)
    };
    let name = request_id(values);
    assert!(is_fair(&name), "{name:?}");
    if is_fair(values[0]) {
        assert_eq!(name, values[0], "a fair name is kept");
    }
}

/// Digits alone, as far as the type goes.
fn natural<N: TryFrom<u128>>(text: &str) -> Option<N> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse::<u128>().ok()).flatten().and_then(|number| N::try_from(number).ok())
}
