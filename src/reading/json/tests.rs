use proptest::prelude::*;

use super::*;

fn is_json(text: &str) -> bool {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.value().and_then(|_| scanner.end()).is_ok()
}

/// `serde_json` refuses numbers past a double's range, which are JSON all the same.
fn reference(text: &str) -> bool {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => true,
        Err(error) => error.to_string().contains("out of range"),
    }
}

#[test]
fn accepts_and_refuses_what_the_reference_does() {
    for text in [
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.5e+3",
        "1E5",
        "\"\"",
        r#""\u00e9\n\\\"""#,
        r#""\ud83d\ude00""#,
        r#"{"a":[1,{"b":null}],"c":"d"}"#,
        " [ 1 , 2 ] ",
        "[[[]]]",
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "nul",
        "tru",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83d\u0041""#,
        "\"\u{1}\"",
        "1 2",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "}",
        "]",
        "[}",
        "{]",
        "[1}",
        "nullx",
        "\"a\"b",
    ] {
        assert_eq!(is_json(text), reference(text), "{text}");
    }
}

#[test]
fn nesting_has_a_bound() {
    for depth in [100, 126, 127, 128, 200, 100_000] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(is_json(&text), depth <= 127, "{depth}");
        assert_eq!(is_json(&text), reference(&text), "{depth}");
    }
}

#[test]
fn text_resolves_its_escapes() {
    let mut scanner = Scanner::new(br#""sens\u006fr_id""#);
    let Ok(Token::String(text)) = scanner.token() else { panic!("a string") };
    assert_eq!(*text.resolved(), *b"sensor_id");
}

proptest! {
    #[test]
    fn agrees_with_serde_json(text in r#"[\[\]{}:,"0-9a-z\\ .eE+-]{0,24}"#) {
        prop_assert_eq!(is_json(&text), reference(&text), "{}", text);
    }
}
