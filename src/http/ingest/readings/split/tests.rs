use proptest::prelude::*;

use super::*;

/// The items as text, fed in chunks of these sizes, over and over.
fn split(mut splitter: Splitter, body: &[u8], sizes: &[usize]) -> (Vec<String>, Result<(), Broken>) {
    let mut items = Vec::new();
    let mut each = |item: Item<'_>| {
        items.push(match item {
            Item::Text(text) | Item::Value(text) => String::from_utf8_lossy(text).into_owned(),
            Item::TooLong => "too long".to_owned(),
        });
    };
    let mut feed_all = || {
        let (mut rest, mut sizes) = (body, sizes.iter().cycle());
        while !rest.is_empty() {
            let size = (*sizes.next().unwrap()).clamp(1, rest.len());
            splitter.feed(&rest[..size], &mut each)?;
            rest = &rest[size..];
        }
        Ok(())
    };
    let outcome = feed_all().and_then(|()| splitter.finish(&mut each));
    (items, outcome)
}

fn lines(body: &str) -> Vec<String> {
    let (items, outcome) = split(Splitter::lines(), body.as_bytes(), &[usize::MAX]);
    assert_eq!(outcome, Ok(()));
    items
}

fn values(body: &str) -> (Vec<String>, Result<(), Broken>) {
    split(Splitter::values(), body.as_bytes(), &[usize::MAX])
}

#[test]
fn lines_end_in_every_way() {
    assert_eq!(lines("{\"a\":1}\n{\"b\":2}\r\n\n  \n3"), ["{\"a\":1}", "{\"b\":2}", "3"]);
    assert_eq!(lines(""), [""; 0]);
    assert_eq!(lines("\n\r\n"), [""; 0]);
}

#[test]
fn items_of_an_array_end_where_they_end() {
    let all = |body: &str| {
        let (items, outcome) = values(body);
        assert_eq!(outcome, Ok(()), "{body}");
        items
    };
    assert_eq!(all(" [ ] \n"), [""; 0]);
    assert_eq!(all(r#"[{"a":[1,2]}, "x,]\"\\" ,3]"#), [r#"{"a":[1,2]}"#, r#""x,]\"\\""#, "3"]);
    assert_eq!(all("[[[]],{}]"), ["[[]]", "{}"]);
}

#[test]
fn values_follow_each_other() {
    for (body, expected) in [
        ("{\"a\":1}", &["{\"a\":1}"][..]),
        ("{\"a\":[1,{}]}\r\n{\"b\":\"}\"}{}", &["{\"a\":[1,{}]}", "{\"b\":\"}\"}", "{}"]),
        ("[1,2]\n[]\n{\"a\":1} [3]", &["1", "2", "{\"a\":1}", "3"]),
        ("\u{feff}[1]", &["1"]),
        // Which of them is JSON is for others to say.
        ("[01,NaN,,N/A}]", &["01", "NaN", "", "N/A}"]),
        ("[1,]", &["1", ""]),
        ("[,1]", &["", "1"]),
    ] {
        let (items, outcome) = values(body);
        assert_eq!(items, expected, "{body}");
        assert_eq!(outcome, Ok(()), "{body}");
    }
}

#[test]
fn what_came_before_the_break_is_handed_out() {
    for (body, items, broken) in [
        ("[1,2", &["1"][..], Broken::Expected("`,` or `]`")),
        ("[1,{\"a\":\"", &["1"], Broken::Expected("`,` or `]`")),
        ("[1]2", &["1"], Broken::Expected("the end")),
        ("[1]]", &["1"], Broken::Expected("the end")),
        ("{} x", &["{}"], Broken::Expected("the end")),
        ("{}\n{\"a\":", &["{}"], Broken::Expected("`}`")),
        ("", &[], Broken::Expected("a JSON array or object")),
        ("nope", &[], Broken::NotAList),
        ("7", &[], Broken::NotAList),
        ("]", &[], Broken::Expected("a JSON array or object")),
        ("[\0\"\0", &[], Broken::Encoding("UTF-16: JSON is read in UTF-8".into())),
    ] {
        let (found, outcome) = values(body);
        assert_eq!(found, items, "{body}");
        assert_eq!(outcome, Err(broken), "{body}");
    }
    let (found, outcome) = split(Splitter::lines(), b"\xff\xfe1\0", &[1]);
    assert_eq!((found.len(), outcome.is_err()), (0, true));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    for sizes in [&[1][..], &[2], &[usize::MAX]] {
        let (items, outcome) = split(Splitter::lines(), "\u{feff}1\n2".as_bytes(), sizes);
        assert_eq!((items, outcome), (vec!["1".to_owned(), "2".to_owned()], Ok(())));
    }
}

#[test]
fn an_item_past_the_bound_costs_no_memory_and_no_neighbour() {
    let long = "x".repeat(ITEM_MAX_BYTES + 1);
    for sizes in [&[usize::MAX][..], &[1_000], &[1, ITEM_MAX_BYTES]] {
        let body = format!("1\n\"{long}\"\n2\n{long}");
        let (items, _) = split(Splitter::lines(), body.as_bytes(), sizes);
        assert_eq!(items, ["1", "too long", "2", "too long"]);
        let body = format!("[1,\"{long}\",2]");
        let (items, outcome) = split(Splitter::values(), body.as_bytes(), sizes);
        assert_eq!((items, outcome), (["1", "too long", "2"].map(str::to_owned).to_vec(), Ok(())));
    }
    let mut splitter = Splitter::lines();
    for _ in 0..100 {
        splitter.feed(long.as_bytes(), &mut |_| {}).unwrap();
        assert!(splitter.carried.capacity() <= 2 * ITEM_MAX_BYTES);
    }
}

#[test]
fn white_space_around_an_item_counts_the_same_however_it_is_cut() {
    let space = " ".repeat(ITEM_MAX_BYTES + 1);
    for sizes in [&[usize::MAX][..], &[1_000], &[1, ITEM_MAX_BYTES]] {
        let body = format!("{space}1\n{space}\n2{space}\n3");
        let (items, _) = split(Splitter::lines(), body.as_bytes(), sizes);
        assert_eq!(items, ["1", "too long", "3"]);
        let body = format!("[{space}1,2{space},3]");
        let (items, outcome) = split(Splitter::values(), body.as_bytes(), sizes);
        assert_eq!((items, outcome), (["1", "too long", "3"].map(str::to_owned).to_vec(), Ok(())));
    }
}

#[test]
fn only_what_json_takes_for_white_space_is_left_out() {
    assert_eq!(lines(" \t1\r\n\u{c}2"), ["1", "\u{c}2"]);
    assert_eq!(values("[\u{c}]"), (vec!["\u{c}".to_owned()], Ok(())));
}

proptest! {
    #[test]
    fn chunks_make_no_difference(
        body in r#"[\[\]{}:,"0-9a \n\\]{0,60}"#,
        sizes in proptest::collection::vec(1_usize..9, 1..8),
    ) {
        let text = body.as_bytes();
        prop_assert_eq!(split(Splitter::lines(), text, &sizes), split(Splitter::lines(), text, &[usize::MAX]));
        prop_assert_eq!(split(Splitter::values(), text, &sizes), split(Splitter::values(), text, &[usize::MAX]));
    }

    #[test]
    fn lines_are_those_of_the_text(
        texts in proptest::collection::vec("[a-z{}\":,]{1,40}", 0..20),
        sizes in proptest::collection::vec(1_usize..50, 1..8),
    ) {
        let (items, outcome) = split(Splitter::lines(), texts.join("\n").as_bytes(), &sizes);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(items, texts);
    }

    #[test]
    fn an_array_is_split_as_serde_json_does(
        values in proptest::collection::vec("[a-z\\\\\",\\[\\]{}]{0,10}", 0..10),
        sizes in proptest::collection::vec(1_usize..20, 1..8),
    ) {
        let values: Vec<serde_json::Value> = values
            .into_iter()
            .enumerate()
            .map(|(n, text)| serde_json::json!({"n": n, text.as_str(): [text.as_str(), {"in": text.as_str()}]}))
            .collect();
        let body = serde_json::to_vec_pretty(&values).unwrap();
        let (items, outcome) = split(Splitter::values(), &body, &sizes);
        prop_assert_eq!(outcome, Ok(()));
        let parsed: Vec<serde_json::Value> =
            items.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
        prop_assert_eq!(parsed, values);
    }
}
