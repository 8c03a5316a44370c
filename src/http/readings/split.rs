//! Cuts a body into its items as it arrives: the lines of NDJSON, or the items of a JSON array.
//!
//! An item is handed out as soon as its end is there. Only one that goes on in the next chunk is copied, and of one
//! that is too long nothing is kept.

use memchr::{memchr, memchr2};

/// Longest text of one reading, with all that it may say besides.
pub(in crate::http) const ITEM_MAX_BYTES: usize = 64 << 10;

/// A part of the body that should be a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Item<'a> {
    /// Its text, without white space around it.
    Text(&'a [u8]),
    /// Longer than [`ITEM_MAX_BYTES`], from its first byte that is no white space to what ends it.
    TooLong,
}

/// Why the rest of a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Broken {
    /// It is no array, and may be JSON all the same.
    NotAnArray,
    /// It is no JSON; what would have been right.
    Expected(&'static str),
}

/// Takes a body chunk by chunk.
#[derive(Debug)]
pub(in crate::http) struct Splitter {
    form: Form,
    /// The beginning of an item that goes on.
    carried: Vec<u8>,
    /// Whether that beginning was too long already, and is gone.
    is_too_long: bool,
}

#[derive(Debug)]
enum Form {
    Lines,
    Array(Array),
}

/// Where in an array the text stands.
#[derive(Debug, Default)]
struct Array {
    place: Place,
    /// Items ended so far.
    items: u64,
    /// Open brackets within the item.
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Within,
    After,
}

/// Called with each item; what it says is broken ends the reading.
type Each<'e> = dyn FnMut(Item<'_>) -> Result<(), Broken> + 'e;

impl Splitter {
    /// For NDJSON: an item on each line. Blank lines are none.
    pub(in crate::http) fn lines() -> Self {
        Self::new(Form::Lines)
    }

    /// For one JSON array. Whether each item is JSON is not looked at, only where it ends.
    pub(in crate::http) fn array() -> Self {
        Self::new(Form::Array(Array::default()))
    }

    fn new(form: Form) -> Self {
        Self { form, carried: Vec::new(), is_too_long: false }
    }

    /// Hands out the items that end in this chunk.
    pub(in crate::http) fn feed(&mut self, chunk: &[u8], each: &mut Each<'_>) -> Result<(), Broken> {
        let mut start = 0;
        match &mut self.form {
            Form::Lines => {
                while let Some(length) = memchr(b'\n', &chunk[start..]) {
                    let line = &chunk[start..start + length];
                    start += length + 1;
                    self.hand_out(line, each)?;
                }
            }
            Form::Array(_) => start = self.feed_array(chunk, each)?,
        }
        self.carry(&chunk[start..]);
        Ok(())
    }

    /// At the body's end: what an end of line would have ended.
    pub(in crate::http) fn finish(mut self, each: &mut Each<'_>) -> Result<(), Broken> {
        match &self.form {
            Form::Lines => self.hand_out(&[], each).map(drop),
            Form::Array(Array { place: Place::After, .. }) => Ok(()),
            Form::Array(Array { place: Place::Within, .. }) => Err(Broken::Expected("`,` or `]`")),
            Form::Array(Array { place: Place::Before, .. }) => Err(Broken::Expected("a JSON array")),
        }
    }

    /// Returns where the item starts that goes on in the next chunk; the chunk's end where there is none.
    fn feed_array(&mut self, chunk: &[u8], each: &mut Each<'_>) -> Result<usize, Broken> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            let Form::Array(array) = &mut self.form else { unreachable!("only called for arrays") };
            match array.place {
                Place::Within => {
                    let Some(length) = array.end_of_item(&chunk[at..]) else { return Ok(at) };
                    let (item, end) = (&chunk[at..at + length], chunk[at + length]);
                    let is_first = array.items == 0;
                    array.items += 1;
                    if end == b']' {
                        array.place = Place::After;
                    }
                    at += length + 1;
                    let is_item = self.hand_out(item, each)?;
                    let is_empty_list = is_first && end == b']';
                    if !(is_item || is_empty_list) {
                        return Err(Broken::Expected("a value"));
                    }
                    continue;
                }
                _ if is_space(byte) => {}
                Place::Before if byte == b'[' => array.place = Place::Within,
                Place::Before if matches!(byte, b'{' | b'"' | b'-' | b'0'..=b'9' | b'n' | b't' | b'f') => {
                    return Err(Broken::NotAnArray);
                }
                Place::Before => return Err(Broken::Expected("a JSON array")),
                Place::After => return Err(Broken::Expected("the end")),
            }
            at += 1;
        }
        Ok(at)
    }

    /// Hands out what was carried and `end`; whether there was anything.
    fn hand_out(&mut self, end: &[u8], each: &mut Each<'_>) -> Result<bool, Broken> {
        if !self.carried.is_empty() || self.is_too_long {
            self.carry(end);
        }
        let begun = without_space_before(if self.carried.is_empty() { end } else { &self.carried });
        let text = without_space_behind(begun);
        let is_item = self.is_too_long || !text.is_empty();
        let handed_out = match text {
            // However the text was cut into chunks: what is white space behind an item shows at its end only.
            _ if self.is_too_long || begun.len() > ITEM_MAX_BYTES => each(Item::TooLong),
            [] => Ok(()),
            text => each(Item::Text(text)),
        };
        self.carried.clear();
        self.is_too_long = false;
        handed_out.map(|()| is_item)
    }

    fn carry(&mut self, beginning: &[u8]) {
        let has_begun = self.is_too_long || !self.carried.is_empty();
        let beginning = if has_begun { beginning } else { without_space_before(beginning) };
        if self.is_too_long || self.carried.len() + beginning.len() > ITEM_MAX_BYTES {
            self.is_too_long = true;
            self.carried.clear();
        } else {
            self.carried.extend_from_slice(beginning);
        }
    }
}

/// What JSON takes for white space; `trim_ascii` would take a form feed, too.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

fn without_space_before(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&byte| is_space(byte)).count()..]
}

fn without_space_behind(text: &[u8]) -> &[u8] {
    &text[..text.len() - text.iter().rev().take_while(|&&byte| is_space(byte)).count()]
}

impl Array {
    /// How many bytes are left of the item; none where it goes on past these.
    fn end_of_item(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if std::mem::take(&mut self.is_escaped) {
                at += 1;
                continue;
            }
            if self.in_string {
                at += memchr2(b'"', b'\\', &bytes[at..])?;
                self.is_escaped = bytes[at] == b'\\';
                self.in_string = self.is_escaped;
                at += 1;
                continue;
            }
            match byte {
                b',' | b']' if self.depth == 0 => return Some(at),
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
    use proptest::prelude::*;

    use super::*;

    /// The items as text, fed in chunks of these sizes, over and over.
    fn split(mut splitter: Splitter, body: &[u8], sizes: &[usize]) -> (Vec<String>, Result<(), Broken>) {
        let mut items = Vec::new();
        let mut each = |item: Item<'_>| {
            items.push(match item {
                Item::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Item::TooLong => "too long".to_owned(),
            });
            Ok(())
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

    fn array(body: &str) -> (Vec<String>, Result<(), Broken>) {
        split(Splitter::array(), body.as_bytes(), &[usize::MAX])
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
            let (items, outcome) = array(body);
            assert_eq!(outcome, Ok(()), "{body}");
            items
        };
        assert_eq!(all(" [ ] \n"), [""; 0]);
        assert_eq!(all(r#"[{"a":[1,2]}, "x,]\"\\" ,3]"#), [r#"{"a":[1,2]}"#, r#""x,]\"\\""#, "3"]);
        assert_eq!(all("[[[]],{}]"), ["[[]]", "{}"]);
    }

    #[test]
    fn what_came_before_the_break_is_handed_out() {
        for (body, items, broken) in [
            ("[1,2", &["1"][..], Broken::Expected("`,` or `]`")),
            ("[1,{\"a\":\"", &["1"], Broken::Expected("`,` or `]`")),
            ("[1,]", &["1"], Broken::Expected("a value")),
            ("[,1]", &[], Broken::Expected("a value")),
            ("[1]2", &["1"], Broken::Expected("the end")),
            ("[1]]", &["1"], Broken::Expected("the end")),
            ("", &[], Broken::Expected("a JSON array")),
            ("nope", &[], Broken::NotAnArray),
            ("{}", &[], Broken::NotAnArray),
            ("]", &[], Broken::Expected("a JSON array")),
            ("\u{feff}[1]", &[], Broken::Expected("a JSON array")),
        ] {
            let (found, outcome) = array(body);
            assert_eq!(found, items, "{body}");
            assert_eq!(outcome, Err(broken), "{body}");
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
            let (items, outcome) = split(Splitter::array(), body.as_bytes(), sizes);
            assert_eq!((items, outcome), (["1", "too long", "2"].map(str::to_owned).to_vec(), Ok(())));
        }
        let mut splitter = Splitter::lines();
        for _ in 0..100 {
            splitter.feed(long.as_bytes(), &mut |_| Ok(())).unwrap();
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
            let (items, outcome) = split(Splitter::array(), body.as_bytes(), sizes);
            assert_eq!((items, outcome), (["1", "too long", "3"].map(str::to_owned).to_vec(), Ok(())));
        }
    }

    #[test]
    fn only_what_json_takes_for_white_space_is_left_out() {
        assert_eq!(lines(" \t1\r\n\u{c}2"), ["1", "\u{c}2"]);
        assert_eq!(array("[\u{c}]"), (vec!["\u{c}".to_owned()], Ok(())));
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            body in r#"[\[\]{}:,"0-9a \n\\]{0,60}"#,
            sizes in proptest::collection::vec(1_usize..9, 1..8),
        ) {
            let text = body.as_bytes();
            prop_assert_eq!(split(Splitter::lines(), text, &sizes), split(Splitter::lines(), text, &[usize::MAX]));
            prop_assert_eq!(split(Splitter::array(), text, &sizes), split(Splitter::array(), text, &[usize::MAX]));
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
            let (items, outcome) = split(Splitter::array(), &body, &sizes);
            prop_assert_eq!(outcome, Ok(()));
            let parsed: Vec<serde_json::Value> =
                items.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
            prop_assert_eq!(parsed, values);
        }
    }
}
