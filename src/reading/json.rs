//! A JSON reader (RFC 8259) on jiter that hands out slices of its input, allocates nothing, and can go back.
//!
//! Whether the input is UTF-8 is looked at by whoever makes the scanner. Containers are entered token by token, so that
//! the caller decides what to read and what to skip; skipping validates all the same.

use std::{borrow::Cow, mem};

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};
use memchr::memchr;
use serde::de::IgnoredAny;

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
pub(crate) enum Token<'a> {
    /// `{`; members follow through [`Scanner::next_key`].
    Object,
    /// `[`; items follow through [`Scanner::next_item`].
    Array,
    String(Text<'a>),
    /// The digits as they stand.
    Number(&'a [u8]),
    Null,
    True,
    False,
    /// `NaN` or an infinity, which is no JSON: only [`Scanner::not_finite`] reads it.
    NotFinite,
}

/// What stands between two quotes, as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Text<'a>(pub(super) &'a [u8]);

impl<'a> Text<'a> {
    /// The text with its escapes resolved; only text with escapes costs an allocation.
    pub(crate) fn resolved(self) -> Cow<'a, [u8]> {
        if memchr(b'\\', self.0).is_none() {
            return Cow::Borrowed(self.0);
        }
        let quoted = [b"\"", self.0, b"\""].concat();
        // Every escape has been validated; text that is no UTF-8 is refused with what it stands in.
        match serde_json::from_slice::<String>(&quoted) {
            Ok(resolved) => Cow::Owned(resolved.into_bytes()),
            Err(_) => Cow::Borrowed(self.0),
        }
    }
}

/// Deeper nesting than this is refused, as `serde_json` does: counted from the text's outermost container.
const MAX_DEPTH: u32 = 127;

/// Reads JSON from front to back.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    /// Of the text from `offset` on.
    jiter: Jiter<'a>,
    offset: usize,
    /// Containers that are open here.
    depth: u32,
    /// Whether a value may be nested deeper, and have half of a surrogate pair in it.
    is_lenient: bool,
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
        Self { text, jiter: Jiter::new(text), offset: 0, depth: 0, is_lenient: false }
    }

    /// Takes what Python's `json` takes.
    pub(super) fn lenient(text: &'a [u8]) -> Self {
        Self { is_lenient: true, ..Self::new(text) }
    }

    /// Of an array's item, which is nested in it.
    pub(super) fn within_array(item: &'a [u8]) -> Self {
        Self { depth: 1, ..Self::new(item) }
    }

    /// Where the next byte is read: at its bracket in a container of which nothing has been read.
    pub(super) fn position(&self) -> usize {
        self.offset + self.jiter.current_index()
    }

    /// This place, for [`Self::rewind`].
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.position(), depth: self.depth }
    }

    /// Goes back to a place.
    pub(super) fn rewind(&mut self, Mark { at, depth }: Mark) {
        self.depth = depth;
        self.seek(at);
    }

    /// Goes on at a place in the same container.
    pub(super) fn seek(&mut self, at: usize) {
        self.jiter = Jiter::new(&self.text[at..]);
        self.offset = at;
    }

    /// The text from a place on.
    pub(super) fn from(&self, place: usize) -> &'a [u8] {
        &self.text[place..]
    }

    /// The next byte that is no white space, which is not read yet.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.jiter.peek().ok().map(Peek::into_inner)
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
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "measured: a token that goes through memory costs a third of the time"
    )]
    pub(super) fn token(&mut self) -> Result<Token<'a>, Malformed> {
        let peek = self.jiter.peek().map_err(|_| self.expected("a value"))?;
        let start = self.position();
        match peek {
            Peek::Object => self.enter(Token::Object),
            Peek::Array => self.enter(Token::Array),
            Peek::String => match self.jiter.known_bytes().map(<[u8]>::len) {
                Ok(length) => Ok(Token::String(Text(&self.text[start + 1..=start + length]))),
                Err(_) => Err(fault_in_string(self.text, start)),
            },
            Peek::Null => self.jiter.known_null().map(|()| Token::Null).map_err(|_| self.expected("null")),
            Peek::True => self.jiter.known_bool(peek).map(|_| Token::True).map_err(|_| self.expected("true")),
            Peek::False => {
                self.jiter.known_bool(peek).map(|_| Token::False).map_err(|_| self.expected("false"))
            }
            Peek::NaN | Peek::Infinity => Err(self.expected("a value")),
            peek if peek.is_num() => self.number(peek, start).map(Token::Number),
            _ => Err(self.expected("a value")),
        }
    }

    /// In an object: the next key, with its colon read; none at the object's end, which is read too.
    pub(super) fn next_key(&mut self, is_first: &mut bool) -> Result<Option<Text<'a>>, Malformed> {
        let start = self.position();
        let key =
            if mem::take(is_first) { self.jiter.next_object_bytes() } else { self.jiter.next_key_bytes() };
        match key.map(|key| key.map(<[u8]>::len)) {
            Ok(Some(length)) => {
                let colon = self.position() - 1;
                let mut quote = colon - 1;
                while self.text[quote] != b'"' {
                    quote -= 1;
                }
                Ok(Some(Text(&self.text[quote - length..quote])))
            }
            Ok(None) => {
                self.depth -= 1;
                Ok(None)
            }
            Err(error) => Err(self.fault_in_key(start, error)),
        }
    }

    /// In an array: whether another item follows; at the array's end the bracket is read.
    pub(super) fn next_item(&mut self, is_first: &mut bool) -> Result<bool, Malformed> {
        let next = if mem::take(is_first) { self.jiter.known_array() } else { self.jiter.array_step() };
        match next.map_err(|error| error.error_type) {
            // What is no item behind a comma is the fault of that item.
            Ok(Some(_))
            | Err(JiterErrorType::JsonError(
                JsonErrorType::TrailingComma | JsonErrorType::EofWhileParsingValue,
            )) => Ok(true),
            Ok(None) => {
                self.depth -= 1;
                Ok(false)
            }
            Err(_) => Err(self.expected("`,` or `]`")),
        }
    }

    /// Reads a bare `NaN`, `Infinity` or `-inf` at a place where no JSON value was; none where there is none either.
    pub(super) fn not_finite(&mut self, place: usize) -> Option<Token<'a>> {
        if !self.slice(place, self.position()).is_empty() {
            return None;
        }
        let text = self.from(self.position());
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let begins = |word: &str| {
            unsigned.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        };
        let word = ["infinity", "inf", "nan"].into_iter().find(|word| begins(word))?;
        self.seek(self.position() + text.len() - unsigned.len() + word.len());
        Some(Token::NotFinite)
    }

    /// Reads what is left of a value whose first token has been read.
    pub(super) fn skip(&mut self, token: Token<'a>) -> Result<(), Malformed> {
        let mut is_first = true;
        match token {
            Token::Object => {
                while self.next_key(&mut is_first)?.is_some() {
                    self.strict_value()?;
                }
            }
            Token::Array => {
                while self.next_item(&mut is_first)? {
                    self.strict_value()?;
                }
            }
            Token::String(_)
            | Token::Number(_)
            | Token::Null
            | Token::True
            | Token::False
            | Token::NotFinite => {}
        }
        Ok(())
    }

    /// Reads the next value to its end.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as of `token`")]
    pub(super) fn value(&mut self) -> Result<Token<'a>, Malformed> {
        if !self.is_lenient {
            return self.strict_value();
        }
        let begin = self.mark();
        self.strict_value().or_else(|error| self.lenient_value(begin).ok_or(error))
    }

    /// Calls itself for what is nested, which [`MAX_DEPTH`] bounds.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "measured: a token that goes through memory costs a third of the time"
    )]
    fn strict_value(&mut self) -> Result<Token<'a>, Malformed> {
        let token = self.token()?;
        if matches!(token, Token::Object | Token::Array) {
            self.skip(token)?;
        }
        Ok(token)
    }

    /// What `serde_json` passes over at a place, however deep it is: a string or a container.
    fn lenient_value(&mut self, Mark { at, depth }: Mark) -> Option<Token<'a>> {
        let mut values = serde_json::Deserializer::from_slice(self.from(at)).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let end = at + values.byte_offset();
        self.rewind(Mark { at: end, depth });
        match self.slice(at, end) {
            [b'"', text @ .., b'"'] => Some(Token::String(Text(text))),
            [b'[', ..] => Some(Token::Array),
            _ => Some(Token::Object),
        }
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.end_at(self.text.len())
    }

    /// Nothing but white space is left up to a place.
    pub(super) fn end_at(&mut self, place: usize) -> Result<(), Malformed> {
        self.peek();
        if self.position() >= place { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn enter(&mut self, container: Token<'a>) -> Result<Token<'a>, Malformed> {
        if self.depth == MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        self.depth += 1;
        Ok(container)
    }

    fn number(&mut self, peek: Peek, start: usize) -> Result<&'a [u8], Malformed> {
        match self.jiter.known_number_bytes(peek).map(<[u8]>::len) {
            Ok(length) => Ok(&self.text[start..start + length]),
            Err(error) => {
                let at = self.offset + error.index;
                if error.error_type == JiterErrorType::JsonError(JsonErrorType::NumberOutOfRange) {
                    // Longer than any integer of jiter's, and a number all the same.
                    self.jiter.known_float(peek).map_err(|_| Malformed::new("a digit", at))?;
                } else if matches!(&self.text[start..at], b"0" | b"-0") {
                    // What is wrong is the digit behind it.
                    self.seek(at);
                } else {
                    return Err(Malformed::new("a digit", at));
                }
                Ok(&self.text[start..self.position()])
            }
        }
    }

    #[cold]
    fn fault_in_key(&self, start: usize, error: JiterError) -> Malformed {
        let key = memchr(b'"', &self.text[start..]);
        let expected = match (error.error_type, key) {
            (
                JiterErrorType::JsonError(
                    JsonErrorType::KeyMustBeAString
                    | JsonErrorType::TrailingComma
                    | JsonErrorType::EofWhileParsingValue,
                ),
                _,
            ) => "a key",
            (JiterErrorType::JsonError(JsonErrorType::ExpectedObjectCommaOrEnd), _) | (_, None) => {
                "`,` or `}`"
            }
            (
                JiterErrorType::JsonError(
                    JsonErrorType::ExpectedColon | JsonErrorType::EofWhileParsingObject,
                ),
                _,
            ) => "`:`",
            (_, Some(key)) => return fault_in_string(self.text, start + key),
        };
        Malformed::new(expected, self.offset + error.index)
    }

    fn expected(&self, expected: &'static str) -> Malformed {
        Malformed::new(expected, self.position())
    }
}

/// What is wrong in a string that jiter refuses, of which the first quote stands at `start`.
#[cold]
fn fault_in_string(text: &[u8], start: usize) -> Malformed {
    let mut at = start + 1;
    let mut expects_low_surrogate = false;
    loop {
        let code_unit = match &text[at..] {
            [b'\\', b'u', digits @ ..] => {
                let digit = |unit: u32, byte: &u8| Some(unit * 16 + char::from(*byte).to_digit(16)?);
                match digits.get(..4).and_then(|digits| digits.iter().try_fold(0, digit)) {
                    Some(unit) => Some(unit),
                    None => return Malformed::new("four hexadecimal digits", at),
                }
            }
            _ => None,
        };
        at += match (code_unit, &text[at..]) {
            (Some(0xDC00..0xE000), _) if mem::take(&mut expects_low_surrogate) => 6,
            (Some(_), _) if expects_low_surrogate => return Malformed::new("a low surrogate", at + 6),
            (None, _) if expects_low_surrogate => return Malformed::new("a low surrogate", at),
            (Some(0xDC00..0xE000), _) => return Malformed::new("a high surrogate first", at + 6),
            (Some(unit), _) => {
                expects_low_surrogate = matches!(unit, 0xD800..0xDC00);
                6
            }
            (None, [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..]) => 2,
            (None, [b'\\', ..]) => return Malformed::new("an escape", at),
            (None, [byte, ..]) if *byte >= 0x20 => 1,
            (None, _) => return Malformed::new("`\"`", at),
        };
    }
}

#[cfg(test)]
mod tests;
