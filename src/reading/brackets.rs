//! Where an item ends whether it is JSON or not: by its brackets and strings alone.

use memchr::memchr3;

/// How many brackets are open, and whether a string is, as far as a text has been read.
///
/// Of JSON that is its real end. A string ends with its line at the latest: no JSON string goes on past it, and a
/// quote that is missing costs no line behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brackets {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

impl Brackets {
    /// How many bytes are left of a list's item, up to the `,` or `]` behind it; none where it goes on past these.
    pub(crate) fn end_of_item(&mut self, bytes: &[u8]) -> Option<usize> {
        self.find(bytes, |byte, depth| depth == 0 && matches!(byte, b',' | b']'))
    }

    /// How many bytes are left of a container, with the bracket that closes it; none where it goes on past these.
    pub(crate) fn end_of_container(&mut self, bytes: &[u8]) -> Option<usize> {
        self.find(bytes, |byte, depth| depth == 1 && matches!(byte, b'}' | b']')).map(|last| last + 1)
    }

    /// The first byte outside of strings that ends it, given how many brackets are open in front of it.
    fn find(&mut self, bytes: &[u8], ends: impl Fn(u8, u32) -> bool) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if std::mem::take(&mut self.is_escaped) && byte != b'\n' {
                at += 1;
                continue;
            }
            if self.in_string {
                at += memchr3(b'"', b'\\', b'\n', &bytes[at..])?;
                self.is_escaped = bytes[at] == b'\\';
                self.in_string = self.is_escaped;
                at += 1;
                continue;
            }
            if ends(byte, self.depth) {
                return Some(at);
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // One too many is part of an item that is no JSON.
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Option<&str> {
        Brackets::default().end_of_item(text.as_bytes()).map(|end| &text[..end])
    }

    fn container(text: &str) -> Option<&str> {
        Brackets::default().end_of_container(text.as_bytes()).map(|end| &text[..end])
    }

    #[test]
    fn an_item_ends_where_its_list_goes_on() {
        for (text, expected) in [
            (r#"{"a":[1,2]},3"#, Some(r#"{"a":[1,2]}"#)),
            (r#"{"a":",]\"}"}]"#, Some(r#"{"a":",]\"}"}"#)),
            (r#"{"a":1,5,"b":N/A},2"#, Some(r#"{"a":1,5,"b":N/A}"#)),
            ("01]", Some("01")),
            ("]", Some("")),
            ("}},", Some("}}")),
            (r#"{"a":1"#, None),
            (r#"{"a":"x,]"#, None),
            ("{\"a\":\"x\n},2", Some("{\"a\":\"x\n}")),
            ("{\"a\":\"x\\\n},2", Some("{\"a\":\"x\\\n}")),
        ] {
            assert_eq!(item(text), expected, "{text}");
        }
    }

    #[test]
    fn a_container_ends_with_its_bracket() {
        for (text, expected) in [
            (r#"{"a":[1,{}]} x"#, Some(r#"{"a":[1,{}]}"#)),
            ("[1]]", Some("[1]")),
            ("{]", Some("{]")),
            (r#"{"a":"}""#, None),
        ] {
            assert_eq!(container(text), expected, "{text}");
        }
    }
}
