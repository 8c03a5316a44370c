//! Where a page ends, in a form that nobody takes for something to compute with.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::http::server::errors::validation::FieldError;

/// The key of a page's last item, as `next` of the page.
pub(in crate::http) fn encode<const N: usize>(key: [u8; N]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key in what came back as `after`.
pub(in crate::http) fn decode<const N: usize>(cursor: &str) -> Result<[u8; N], FieldError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| FieldError::new("cursor", "Input should be the `next` of another page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back() {
        for key in [0, -1, 1_728_743_460_000_000, i64::MAX, i64::MIN] {
            assert_eq!(decode(&encode(key.to_be_bytes())).map(i64::from_be_bytes), Ok(key));
        }
        assert_eq!(encode(3_i32.to_be_bytes()), "AAAAAw");
        assert_eq!(encode(1_728_743_460_000_000_i64.to_be_bytes()), "AAYkSHPXUQA");
        for text in ["", "AAAA", "AAYkSHPXUQ", "AAYkSHPXUQB", "AAAAAw", "AAYkSHPXUQAA", "?"] {
            assert_eq!(decode::<8>(text).unwrap_err().kind, "cursor", "{text}");
        }
    }
}
