//! A JSON scanner (RFC 8259) that hands out slices of its input and allocates nothing.
//!
//! Whether the input is UTF-8 is looked at by whoever makes the scanner. Containers are entered token by token, so that
//! the caller decides what to read and what to skip; skipping validates all the same.

/// Where the text stops being JSON, and what would have been right there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub(super) struct Malformed {
    at: usize,
    expected: &'static str,
}

impl Malformed {
    pub(super) fn new(expected: &'static str, at: usize) -> Self {
        Self { at, expected }
    }
}

/// A scalar in whole, or the start of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// `{`; members follow through [`Scanner::next_key`].
    Object,
    /// `[`; items follow through [`Scanner::next_item`].
    Array,
    String(Text<'a>),
    /// The digits as they stand.
    Number(&'a [u8]),
    Null,
    Bool,
    /// `NaN` or an infinity, which is no JSON: only [`Scanner::not_finite`] reads it.
    NotFinite,
}

/// What stands between two quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Text<'a> {
    raw: &'a [u8],
    has_escapes: bool,
}

/// Deeper nesting than this is refused, as `serde_json` does: counted from the text's outermost container.
const MAX_DEPTH: u32 = 127;

impl<'a> Text<'a> {
    /// As it was written.
    pub(super) fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Calls `read` with the text, its escapes resolved; only text with escapes costs an allocation.
    pub(super) fn with<T>(self, read: impl FnOnce(&[u8]) -> T) -> T {
        if !self.has_escapes {
            return read(self.raw);
        }
        let quoted = [b"\"", self.raw, b"\""].concat();
        // Every escape has been validated; text that is no UTF-8 is refused with what it stands in.
        match serde_json::from_slice::<String>(&quoted) {
            Ok(resolved) => read(resolved.as_bytes()),
            Err(_) => read(self.raw),
        }
    }

    /// Whether the text is this one.
    pub(super) fn is(self, name: &str) -> bool {
        self.with(|text| text == name.as_bytes())
    }
}

/// Reads JSON from front to back.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Containers that are open here.
    depth: u32,
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    at: usize,
    depth: u32,
}

impl Mark {
    /// A place outside of all containers.
    pub(super) fn outside(at: usize) -> Self {
        Self { at, depth: 0 }
    }

    /// Where it is.
    pub(super) fn position(self) -> usize {
        self.at
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Of an array's item, which is nested in it.
    pub(super) fn within_array(item: &'a [u8]) -> Self {
        Self { text: item, at: 0, depth: 1 }
    }

    /// Where the next byte is read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// This place, for [`Self::rewind`].
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.at, depth: self.depth }
    }

    /// Goes back to a place.
    pub(super) fn rewind(&mut self, Mark { at, depth }: Mark) {
        (self.at, self.depth) = (at, depth);
    }

    /// Goes past so many bytes, whatever they are.
    pub(super) fn pass(&mut self, length: usize) {
        self.at += length;
    }

    /// The text from a place on.
    pub(super) fn from(&self, place: usize) -> &'a [u8] {
        &self.text[place..]
    }

    /// The next byte that is no white space, which is not read yet.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    /// What stands between two places, without the white space around it.
    pub(super) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        let mut text = &self.text[from..to];
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\n' | b'\r' | b'\t'] = text
        {
            text = rest;
        }
        text
    }

    /// The next value: a scalar in whole, or the entry to a container.
    pub(super) fn token(&mut self) -> Result<Token<'a>, Malformed> {
        self.skip_space();
        match self.text.get(self.at) {
            Some(b'{') => self.enter(Token::Object),
            Some(b'[') => self.enter(Token::Array),
            Some(b'"') => self.string().map(Token::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Token::Number),
            Some(b'n') => self.literal("null", Token::Null),
            Some(b't') => self.literal("true", Token::Bool),
            Some(b'f') => self.literal("false", Token::Bool),
            _ => Err(self.expected("a value")),
        }
    }

    /// In an object: the next key, with its colon read; none at the object's end, which is read too.
    pub(super) fn next_key(&mut self, is_first: &mut bool) -> Result<Option<Text<'a>>, Malformed> {
        if !self.next(is_first, b'}', "`,` or `}`")? {
            return Ok(None);
        }
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.expected("a key"));
        }
        let key = self.string()?;
        self.skip_space();
        self.byte(b':', "`:`")?;
        Ok(Some(key))
    }

    /// In an array: whether another item follows; at the array's end the bracket is read.
    pub(super) fn next_item(&mut self, is_first: &mut bool) -> Result<bool, Malformed> {
        self.next(is_first, b']', "`,` or `]`")
    }

    /// In an array whose bracket has been read: whether it ends there, which is read then.
    pub(super) fn is_empty_array(&mut self) -> bool {
        let is_empty = self.peek() == Some(b']');
        if is_empty {
            self.at += 1;
            self.depth -= 1;
        }
        is_empty
    }

    /// In an array, behind an item: whether another one follows; at the array's end the bracket is read.
    pub(super) fn end_of_item(&mut self) -> Result<bool, Malformed> {
        self.next_item(&mut false)
    }

    /// Reads a bare `NaN`, `Infinity` or `-inf` at a place where no JSON value was; none where there is none either.
    pub(super) fn not_finite(&mut self, place: usize) -> Option<Token<'a>> {
        self.at = place;
        self.skip_space();
        let text = self.from(self.at);
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let begins = |word: &str| {
            unsigned.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        };
        let word = ["infinity", "inf", "nan"].into_iter().find(|word| begins(word))?;
        self.at += text.len() - unsigned.len() + word.len();
        Some(Token::NotFinite)
    }

    /// Reads what is left of a value whose first token has been read.
    pub(super) fn skip(&mut self, token: Token<'a>) -> Result<(), Malformed> {
        // One bit for each container that is open within the value: 1 for an object.
        let mut open: u128 = match token {
            Token::Object => 1,
            Token::Array => 0,
            Token::String(_) | Token::Number(_) | Token::Null | Token::Bool | Token::NotFinite => {
                return Ok(());
            }
        };
        let outside = self.depth - 1;
        let mut is_first = true;
        while self.depth > outside {
            let is_object = open & 1 == 1;
            let goes_on = if is_object {
                self.next_key(&mut is_first)?.is_some()
            } else {
                self.next_item(&mut is_first)?
            };
            if !goes_on {
                open >>= 1;
                continue;
            }
            match self.token()? {
                token @ (Token::Object | Token::Array) => {
                    open = open << 1 | u128::from(token == Token::Object);
                    is_first = true;
                }
                Token::String(_) | Token::Number(_) | Token::Null | Token::Bool | Token::NotFinite => {}
            }
        }
        Ok(())
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.end_at(self.text.len())
    }

    /// Nothing but white space is left up to a place.
    pub(super) fn end_at(&mut self, place: usize) -> Result<(), Malformed> {
        self.skip_space();
        if self.at >= place { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn next(&mut self, is_first: &mut bool, end: u8, expected: &'static str) -> Result<bool, Malformed> {
        self.skip_space();
        match self.text.get(self.at) {
            Some(&byte) if byte == end => {
                self.at += 1;
                self.depth -= 1;
                *is_first = false;
                Ok(false)
            }
            Some(b',') if !*is_first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if std::mem::take(is_first) => Ok(true),
            _ => Err(self.expected(expected)),
        }
    }

    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.expected("`\"`")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(Text { raw, has_escapes })
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.code_unit()? {
                0xD800..0xDC00 => {
                    let has_partner = self.text[self.at..].starts_with(b"\\u")
                        && matches!(self.code_unit()?, 0xDC00..0xE000);
                    if has_partner { Ok(()) } else { Err(self.expected("a low surrogate")) }
                }
                0xDC00..0xE000 => Err(self.expected("a high surrogate first")),
                _ => Ok(()),
            },
            _ => Err(self.expected("an escape")),
        }
    }

    /// The number in `\uXXXX`.
    fn code_unit(&mut self) -> Result<u32, Malformed> {
        let mut unit = 0;
        for place in 2..6 {
            let digit = self.text.get(self.at + place).and_then(|&byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        self.at += usize::from(self.text[self.at] == b'-');
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let length = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        if length > 0 { Ok(()) } else { Err(self.expected("a digit")) }
    }

    fn literal(&mut self, word: &'static str, token: Token<'a>) -> Result<Token<'a>, Malformed> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(token)
    }

    fn enter(&mut self, container: Token<'a>) -> Result<Token<'a>, Malformed> {
        if self.depth == MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(container)
    }

    fn byte(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.text.get(self.at) != Some(&byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn expected(&self, expected: &'static str) -> Malformed {
        Malformed { at: self.at, expected }
    }
}

#[cfg(test)]
mod tests;
