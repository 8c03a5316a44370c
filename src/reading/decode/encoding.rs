//! What stands in front of the text, and texts that are no UTF-8.

use super::Reject;
use crate::reading::Reason;

pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The text without a byte-order mark in front of it, which editors and libraries on Windows write.
pub fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// What a text is encoded in, where its first bytes show that it is none that is read.
pub fn foreign_encoding(text: &[u8]) -> Option<Reject> {
    let detail = match *text {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, b'{' | b'[' | b'"', ..] | [b'{' | b'[' | b'"', 0, ..] => {
            "UTF-16: JSON is read in UTF-8".into()
        }
        [0, a, b, c, d, _, ..] => format!(
            "in front stand a NUL byte and four more, as the schema registry's serializers write them (schema id {}): \
             send plain JSON, without the schema registry",
            u32::from_be_bytes([a, b, c, d])
        )
        .into(),
        _ => return None,
    };
    let reason = if text.contains(&0) { Reason::NulByte } else { Reason::MalformedJson };
    Some(Reject { reason, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf_8_is_called_by_its_name() {
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        for text in ["{\"sensor_id\":1}", "\u{feff}[1]", "\"x\""] {
            for bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
                let reject = foreign_encoding(&utf_16(text, bytes)).unwrap();
                assert_eq!(reject.reason, Reason::NulByte);
                assert!(reject.detail.contains("UTF-16"), "{reject:?}");
            }
        }
        let reject = foreign_encoding(b"\0\0\0\x01\x02{\"sensor_id\":1}").unwrap();
        assert!(reject.detail.contains("schema registry") && reject.detail.contains("258"), "{reject:?}");
        assert_eq!(reject.reason, Reason::NulByte);
        for text in [&b"{}"[..], b"", b"\0", b"\0\0\0\0\0", b"{", "\u{feff}{}".as_bytes()] {
            assert_eq!(foreign_encoding(text), None, "{text:?}");
        }
        assert_eq!(without_byte_order_mark("\u{feff}{}".as_bytes()), b"{}");
        assert_eq!(without_byte_order_mark(b"{}"), b"{}");
    }
}
