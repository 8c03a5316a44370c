//! A span's place in its trace as W3C writes it: `traceparent` and `tracestate`.
//! <https://www.w3.org/TR/trace-context/>

use std::str::FromStr;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};

use crate::batch::Header;

/// The header of a span's place in its trace.
pub const TRACEPARENT: &str = "traceparent";
/// The header of what vendors add to it.
pub const TRACESTATE: &str = "tracestate";

/// The places of the trace's and the span's number and of the flags in a `traceparent`.
const TRACE_ID: std::ops::Range<usize> = 3..35;
const SPAN_ID: std::ops::Range<usize> = 36..52;
const FLAGS: std::ops::Range<usize> = 53..55;

/// A span of somebody else's, who asked for what is done here.
#[derive(Clone, Debug)]
pub struct Remote(pub(super) SpanContext);

impl Remote {
    /// None where `traceparent` does not have its form. A `tracestate` that does not have its own is left out.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        if !is_traceparent(traceparent) {
            return None;
        }
        let trace_id = TraceId::from_hex(&traceparent[TRACE_ID]).ok()?;
        let span_id = SpanId::from_hex(&traceparent[SPAN_ID]).ok()?;
        let flags = u8::from_str_radix(&traceparent[FLAGS], 16).ok()?;
        // Flags that are not known are not passed on.
        let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
        let state = tracestate.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
        Some(Self(SpanContext::new(trace_id, span_id, flags, true, state)))
    }

    /// What a record's headers say, where it is that the trace is to be kept.
    pub(super) fn sampled(headers: &[Header]) -> Option<Self> {
        let text = |name: &str| {
            let (_, value) = headers.iter().find(|(key, _)| key == name)?;
            std::str::from_utf8(value.as_deref()?).ok()
        };
        let traceparent = text(TRACEPARENT)?;
        // Most that are not kept are told by this alone.
        let is_odd = |digit: &u8| b"13579bdf".contains(digit);
        if !traceparent.as_bytes().get(FLAGS.end - 1).is_some_and(is_odd) {
            return None;
        }
        Self::parse(traceparent, text(TRACESTATE)).filter(|remote| remote.0.is_sampled())
    }

    pub(super) fn as_parent(&self) -> Context {
        as_parent(self.0.clone())
    }
}

pub(super) fn as_parent(span: SpanContext) -> Context {
    Context::new().with_remote_span_context(span)
}

/// `traceparent` of a span.
pub(super) fn traceparent(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags() & TraceFlags::SAMPLED)
}

/// `00-<32 digits of the trace>-<16 of its parent>-<2 flags>`, in lower case; later versions may say more after it.
/// <https://www.w3.org/TR/trace-context/#traceparent-header>
pub fn is_traceparent(text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_has_its_form() {
        assert!(is_traceparent(GOOD));
        assert!(is_traceparent(&GOOD.replacen("00", "cc", 1)));
        assert!(is_traceparent(&format!("{}-what-comes-one-day", GOOD.replacen("00", "cc", 1))));
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD[1..],
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &format!("{GOOD} "),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad6b7169203331", "b7ad6b716920333g"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
            assert!(Remote::parse(bad, None).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_context_comes_back_as_it_was_written() {
        let Remote(context) = Remote::parse(GOOD, Some("a=b,c=d")).unwrap();
        assert_eq!(traceparent(&context), GOOD);
        assert_eq!(context.trace_state().header(), "a=b,c=d");
        let Remote(context) = Remote::parse(&format!("cc{}-more", &GOOD[2..]), Some("no state")).unwrap();
        assert_eq!((traceparent(&context), context.trace_state().header()), (GOOD.to_owned(), String::new()));
    }

    #[test]
    fn a_record_is_traced_where_its_flags_say_so() {
        for flags in 0..=255_u8 {
            let traceparent = format!("{}{flags:02x}", &GOOD[..FLAGS.start]);
            let headers = [(TRACEPARENT.to_owned(), Some(traceparent.into_bytes()))];
            assert_eq!(Remote::sampled(&headers).is_some(), flags & 1 == 1, "{flags:02x}");
        }
        for bad in [None, Some(b"".to_vec()), Some(vec![0xff; 55]), Some("é".repeat(28).into_bytes())] {
            assert!(Remote::sampled(&[(TRACEPARENT.to_owned(), bad)]).is_none());
        }
        assert!(Remote::sampled(&[]).is_none());
    }
}
