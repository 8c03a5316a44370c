//! A body whose readings are of one sensor, `{"value":…,"timestamp":…}` or `{"data":[…]}`: the members of each, for
//! those who judge them in another way than those of a record are judged. It is JSON in whole, or nothing.

use super::{Member, Members, Scanner, Token};
use crate::reading::{brackets::Brackets, json::Malformed};

/// What a body's object has under `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// So many items.
    Items(usize),
    /// Neither a list nor null, which is as good as absent.
    NotAList,
}

/// Why a body is not read to its end: in the body itself, or in this item of `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A bare `NaN` or `Infinity` in place of a value.
    NotFinite(Option<usize>),
    /// It is no JSON, or has more than one `data`.
    Malformed(Option<usize>),
}

/// Reads a body. `each` takes the members of each item of `data`, or that it is no object, with its place. Of a body that
/// is an object its own members come back, and what it has under `data`.
pub(crate) fn read_for_sensor<'a>(
    body: &'a [u8],
    each: &mut dyn FnMut(usize, Option<&Members<'a>>),
) -> Result<Option<(Members<'a>, Option<Listed>)>, Fault> {
    let utf_8 = std::str::from_utf8(body);
    let readable = utf_8.map_or_else(|error| &body[..error.valid_up_to()], str::as_bytes);
    let mut reader = Reader { scanner: Scanner::lenient(readable), item: None, each };
    match reader.body() {
        Ok(object) if utf_8.is_ok() => Ok(object),
        Err(Stop::NotFinite) => Err(Fault::NotFinite(reader.item.map(|(index, _)| index))),
        Ok(_) | Err(Stop::Malformed) => {
            // Where the first item has no end, it is the body.
            let is_whole = |begin: usize| Brackets::default().end_of_item(&body[begin..]).is_none();
            let item = reader.item.filter(|(index, begin)| *index > 0 || !is_whole(*begin));
            Err(Fault::Malformed(item.map(|(index, _)| index)))
        }
    }
}

enum Stop {
    Malformed,
    NotFinite,
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

struct Reader<'a, 'e> {
    scanner: Scanner<'a>,
    /// The item that is being read, and where it begins.
    item: Option<(usize, usize)>,
    each: &'e mut dyn FnMut(usize, Option<&Members<'a>>),
}

impl<'a> Reader<'a, '_> {
    fn body(&mut self) -> Result<Option<(Members<'a>, Option<Listed>)>, Stop> {
        if self.scanner.peek() != Some(b'{') {
            self.scanner.value()?;
            self.scanner.end()?;
            return Ok(None);
        }
        self.scanner.token()?;
        let (mut members, mut list) = (Members::default(), None);
        let mut is_first = true;
        while let Some(name) = self.scanner.next_key(&mut is_first)? {
            match Member::of(name) {
                Member::Data if list.is_some() => return Err(Stop::Malformed),
                Member::Data => list = self.list()?,
                member => members.read(&mut self.scanner, name, member, false)?,
            }
        }
        finite(&members)?;
        self.scanner.end()?;
        Ok(Some((members, list)))
    }

    fn list(&mut self) -> Result<Option<Listed>, Stop> {
        if self.scanner.peek() != Some(b'[') {
            let is_null = self.scanner.value()? == Token::Null;
            return Ok((!is_null).then_some(Listed::NotAList));
        }
        self.scanner.token()?;
        let mut is_first = true;
        let mut items = 0;
        while self.scanner.next_item(&mut is_first)? {
            self.item = Some((items, self.scanner.position()));
            let mut members = Members::default();
            let is_object = members.read_value(&mut self.scanner)?;
            finite(&members)?;
            (self.each)(items, is_object.then_some(&members));
            items += 1;
        }
        self.item = None;
        Ok(Some(Listed::Items(items)))
    }
}

fn finite(members: &Members<'_>) -> Result<(), Stop> {
    if members.has_not_finite { Err(Stop::NotFinite) } else { Ok(()) }
}
