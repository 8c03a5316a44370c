//! Bytes of anybody's on an operator's terminal: nothing in them moves its cursor, colours it, or hides what is there.

use std::fmt::Write as _;

/// As one line: what is not plain to see is escaped as in Rust, and so is the backslash, so that nothing looks escaped
/// that is not.
pub(super) fn line(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\'' => escaped.push(letter),
            _ => escaped.extend(letter.escape_debug()),
        }
    }
    escaped
}

/// The same, cut to so many characters.
pub(super) fn cell(text: &str, chars: usize) -> String {
    let escaped = line(text);
    if escaped.chars().count() <= chars {
        return escaped;
    }
    escaped.chars().take(chars - 1).chain(['…']).collect()
}

/// Bytes as one line: text where they are UTF-8, else base64, which is said.
pub(super) fn bytes(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    match std::str::from_utf8(bytes) {
        Ok(text) => line(text),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}

/// JSON that means the same and holds nothing that a terminal would act on. Such a dead letter stands in a string, for JSON
/// has it nowhere else.
pub(super) fn json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter == '\n' || is_shown(letter) {
            escaped.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            write!(escaped, "\\u{unit:04x}").expect("a String takes all");
        }
    }
    escaped
}

/// Whether a dead letter is printed as itself.
fn is_shown(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().eq([letter])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets a title, clears, and an 8-bit CSI; reverses what follows; ends the line; is no character at all.
    const HOSTILE: &str = "\u{1b}]0;gone\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\r\n\0\u{7f}\u{200b}\u{feff}";

    fn is_harmless(text: &str) {
        let harmful = |letter: char| {
            letter.is_control()
                || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        assert!(!text.contains(harmful), "{text:?}");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        is_harmless(&line(HOSTILE));
        is_harmless(&bytes(HOSTILE.as_bytes()));
        is_harmless(&bytes(b"\xff\x1b[2J"));
        is_harmless(&cell(HOSTILE, 10));
        assert_eq!(line("{\"value\":\"21,5 °C\"}\n\\n\u{1b}"), r#"{"value":"21,5 °C"}\n\\n\u{1b}"#);
        assert_eq!(bytes(b"\xff"), "base64:/w==");
        assert_eq!(cell("abcdef", 6), "abcdef");
        assert_eq!(cell("abcdefg", 6), "abcde…");
    }

    #[test]
    fn json_stays_what_it_means() {
        let value = serde_json::json!({ HOSTILE: ["ü \"quoted\" \\ back", HOSTILE, "\u{e0001}"] });
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let escaped = json(&pretty);
        is_harmless(&escaped.replace('\n', ""));
        assert!(escaped.contains('ü') && !escaped.contains('\u{e0001}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }
}
