//! Cuts a body into its items as it arrives: the lines of NDJSON, or JSON values and the items of those that are arrays.
//!
//! An item is handed out as soon as its end is there. Only one that goes on in the next chunk is copied, and of one
//! that is too long nothing is kept.

use std::borrow::Cow;

use memchr::memchr;

use crate::reading::{
    Brackets,
    decode::{foreign_encoding, without_byte_order_mark},
};

/// Longest text of an item, with all that it may say besides.
pub(super) const ITEM_MAX_BYTES: usize = 64 << 10;
/// So many bytes of a body say its encoding.
const HEAD_BYTES: usize = 6;

/// A part of the body that should be a reading, or more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Item<'a> {
    /// An array's item: its text, without white space around it.
    Text(&'a [u8]),
    /// A line, or an object that stands in no array, of which the same holds.
    Value(&'a [u8]),
    /// Longer than [`ITEM_MAX_BYTES`], from its first byte that is no white space to what ends it.
    TooLong,
}

/// Why the rest of a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Broken {
    /// It is neither an array nor an object, and may be JSON all the same.
    NotAList,
    /// It is no JSON; what would have been right.
    Expected(&'static str),
    /// It is no UTF-8, and what it is.
    Encoding(Cow<'static, str>),
}

/// Takes a body chunk by chunk.
#[derive(Debug)]
pub(in crate::http) struct Splitter {
    form: Form,
    /// The first bytes, as long as they do not say the encoding.
    head: Option<Vec<u8>>,
    /// The beginning of an item that goes on.
    carried: Vec<u8>,
    /// Whether that beginning was too long already, and is gone.
    is_too_long: bool,
}

#[derive(Debug)]
enum Form {
    Lines,
    Values(Values),
}

/// Where in a sequence of values the text stands.
#[derive(Debug, Default)]
struct Values {
    place: Place,
    /// Whether a value has begun.
    has_begun: bool,
    /// Of the array's item, or the object.
    brackets: Brackets,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Outside of all values.
    #[default]
    Outside,
    /// Within an array.
    Array { is_first: bool },
    /// Within an object that stands in no array.
    Object,
}

/// Called with each item.
type Each<'e> = dyn FnMut(Item<'_>) + 'e;

impl Splitter {
    /// For NDJSON: an item on each line. Blank lines are none.
    pub(in crate::http) fn lines() -> Self {
        Self::new(Form::Lines)
    }

    /// For JSON: one array or object, or several one behind the other. Whether each item is JSON is not looked at,
    /// only where it ends.
    pub(in crate::http) fn values() -> Self {
        Self::new(Form::Values(Values::default()))
    }

    fn new(form: Form) -> Self {
        Self { form, head: Some(Vec::new()), carried: Vec::new(), is_too_long: false }
    }

    /// What is held of an item that goes on in the next chunk.
    pub(in crate::http) fn held_bytes(&self) -> usize {
        self.carried.capacity()
    }

    /// Hands out the items that end in this chunk.
    pub(in crate::http) fn feed(&mut self, chunk: &[u8], each: &mut Each<'_>) -> Result<(), Broken> {
        let Some(mut head) = self.head.take() else { return self.feed_text(chunk, each) };
        let (begin, rest) = chunk.split_at(chunk.len().min(HEAD_BYTES - head.len()));
        head.extend_from_slice(begin);
        if head.len() < HEAD_BYTES {
            self.head = Some(head);
            return Ok(());
        }
        self.feed_head(&head, each)?;
        self.feed_text(rest, each)
    }

    /// At the body's end: what an end of line would have ended.
    pub(in crate::http) fn finish(mut self, each: &mut Each<'_>) -> Result<(), Broken> {
        if let Some(head) = self.head.take() {
            self.feed_head(&head, each)?;
        }
        match &self.form {
            Form::Lines => {
                self.hand_out(&[], |text| Item::Value(text), each);
                Ok(())
            }
            Form::Values(Values { place: Place::Outside, has_begun: true, .. }) => Ok(()),
            Form::Values(Values { place: Place::Outside, .. }) => {
                Err(Broken::Expected("a JSON array or object"))
            }
            Form::Values(Values { place: Place::Array { .. }, .. }) => Err(Broken::Expected("`,` or `]`")),
            Form::Values(Values { place: Place::Object, .. }) => Err(Broken::Expected("`}`")),
        }
    }

    fn feed_head(&mut self, head: &[u8], each: &mut Each<'_>) -> Result<(), Broken> {
        match foreign_encoding(head) {
            Some(reject) => Err(Broken::Encoding(reject.detail)),
            None => self.feed_text(without_byte_order_mark(head), each),
        }
    }

    fn feed_text(&mut self, chunk: &[u8], each: &mut Each<'_>) -> Result<(), Broken> {
        let start = match &self.form {
            Form::Lines => self.feed_lines(chunk, each),
            Form::Values(_) => self.feed_values(chunk, each)?,
        };
        self.carry(&chunk[start..]);
        Ok(())
    }

    /// Returns where the line starts that goes on in the next chunk.
    fn feed_lines(&mut self, chunk: &[u8], each: &mut Each<'_>) -> usize {
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &chunk[start..]) {
            self.hand_out(&chunk[start..start + length], |text| Item::Value(text), each);
            start += length + 1;
        }
        start
    }

    /// Returns where the item starts that goes on in the next chunk; the chunk's end where there is none.
    fn feed_values(&mut self, chunk: &[u8], each: &mut Each<'_>) -> Result<usize, Broken> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            let Form::Values(values) = &mut self.form else { unreachable!("only called for values") };
            match values.place {
                Place::Array { is_first } => {
                    let Some(length) = values.brackets.end_of_item(&chunk[at..]) else { return Ok(at) };
                    let (item, is_last) = (&chunk[at..at + length], chunk[at + length] == b']');
                    values.brackets = Brackets::default();
                    values.place = if is_last { Place::Outside } else { Place::Array { is_first: false } };
                    at += length + 1;
                    let is_item = self.hand_out(item, |text| Item::Text(text), each);
                    if !(is_item || is_first && is_last) {
                        // Between two commas.
                        each(Item::Text(&[]));
                    }
                }
                Place::Object => {
                    let Some(length) = values.brackets.end_of_container(&chunk[at..]) else { return Ok(at) };
                    values.brackets = Brackets::default();
                    values.place = Place::Outside;
                    self.hand_out(&chunk[at..at + length], |text| Item::Value(text), each);
                    at += length;
                }
                Place::Outside => at += values.begin(byte)?,
            }
        }
        Ok(at)
    }

    /// Hands out what was carried and `end`; whether there was anything.
    fn hand_out(&mut self, end: &[u8], item: fn(&[u8]) -> Item<'_>, each: &mut Each<'_>) -> bool {
        if !self.carried.is_empty() || self.is_too_long {
            self.carry(end);
        }
        let begun = without_space_before(if self.carried.is_empty() { end } else { &self.carried });
        let text = without_space_behind(begun);
        let is_item = self.is_too_long || !text.is_empty();
        match text {
            // However the text was cut into chunks: what is white space behind an item shows at its end only.
            _ if self.is_too_long || begun.len() > ITEM_MAX_BYTES => each(Item::TooLong),
            [] => {}
            text => each(item(text)),
        }
        self.carried.clear();
        self.is_too_long = false;
        is_item
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

impl Values {
    /// Looks at a byte outside of all values; how many bytes are read with it.
    fn begin(&mut self, byte: u8) -> Result<usize, Broken> {
        match byte {
            _ if is_space(byte) => return Ok(1),
            b'[' => self.place = Place::Array { is_first: true },
            b'{' => self.place = Place::Object,
            _ if self.has_begun => return Err(Broken::Expected("the end")),
            b'"' | b'-' | b'0'..=b'9' | b'n' | b't' | b'f' => return Err(Broken::NotAList),
            _ => return Err(Broken::Expected("a JSON array or object")),
        }
        self.has_begun = true;
        // An object's bracket is part of its text.
        Ok(usize::from(byte == b'['))
    }
}

#[cfg(test)]
mod tests;
