//! `Prefer: wait=5` (RFC 7240): an answer that waits until queries show the readings.

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};

/// Longest wait that a request may ask for: shorter than a request may take.
const LONGEST_S: u64 = 20;
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// For how long a request would wait, in whole seconds; none where it would not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Wait {
    seconds: u64,
}

impl Wait {
    /// What the request asks for, cut down to [`LONGEST_S`]. What is no preference of this kind is ignored.
    pub(in crate::http) fn asked(headers: &HeaderMap) -> Option<Self> {
        let preferences = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
        // Of a preference that comes twice the first one counts.
        let asked = preferences.flat_map(|value| value.split(',')).find_map(wait_seconds)?;
        let seconds = asked.min(LONGEST_S);
        (seconds > 0).then_some(Self { seconds })
    }

    /// How long to wait at most.
    pub(in crate::http) fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Says in the answer's headers that it waited.
    pub(in crate::http) fn note(self, response: &mut Response) {
        let applied = HeaderValue::try_from(format!("wait={}", self.seconds)).expect("letters and digits");
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
}

/// The seconds of `wait=5` or `wait="5"`, with or without parameters.
fn wait_seconds(preference: &str) -> Option<u64> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    let value = value.trim();
    let digits = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_str(value).unwrap());
        }
        Wait::asked(&headers).map(|wait| wait.seconds)
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        assert_eq!(asked(&["wait=5"]), Some(5));
        assert_eq!(asked(&["respond-async, Wait = \"7\"; x=y"]), Some(7));
        assert_eq!(asked(&["return=minimal", "wait=3", "wait=9"]), Some(3));
        assert_eq!(asked(&["wait=100000"]), Some(20));
        for nothing in
            ["", "wait", "wait=", "wait=0", "wait=-1", "wait=+1", "wait=1.5", "waiting=5", "wait=5s"]
        {
            assert_eq!(asked(&[nothing]), None, "{nothing}");
        }
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn what_was_applied_is_said() {
        let mut response = Response::default();
        Wait { seconds: 5 }.note(&mut response);
        assert_eq!(response.headers()[PREFERENCE_APPLIED], "wait=5");
    }
}
