//! The items of an array, or of a list under `data`.

use super::{Decoder, Frame, Mark, Members, Place, Source, Stop, malformed, members::List, not_an_object};
use crate::reading::{
    brackets::Brackets,
    json::{Malformed, Token},
};

/// Where an item ends.
struct End {
    at: usize,
    /// Whether another one follows.
    goes_on: bool,
}

impl<'a> Decoder<'a, '_, '_> {
    /// The items of a list that begins here. An error means that the rest of the text belongs to an item
    /// without an end; the reject for it is out.
    pub(super) fn items(&mut self, list: Option<&List<'a>>) -> Result<(), Stop> {
        let frame = list.map_or(Frame::Array, Frame::List);
        let start = self.scanner.position();
        (self.list, self.lacks_times) = ((start, start), false);
        // Where the text ends behind the bracket, an item is missing.
        let mut goes_on = self.scanner.next_item(&mut true).unwrap_or(true);
        while goes_on {
            let begin = self.scanner.mark();
            let place = Place::Item(self.index);
            let mut members = Members::default();
            let (outcome, end) = match self.item(begin.position(), &mut members) {
                Ok((true, end)) => (self.reading(place, &members, list), end),
                Ok((false, end)) => (Err(not_an_object()), end),
                Err(error) => {
                    let end = self.end_of_item(begin, frame, error)?;
                    let text = self.scanner.slice(begin.position(), end.at);
                    (Err(malformed(error, text)), end)
                }
            };
            goes_on = end.goes_on;
            let text = self.scanner.slice(begin.position(), end.at);
            self.push(place, outcome, Source::new(frame, text));
            self.list.1 = self.scanner.position();
        }
        self.list.1 = self.scanner.position();
        Ok(())
    }

    /// Whether the next item is an object, whose members are read, and its end.
    fn item(&mut self, begin: usize, members: &mut Members<'a>) -> Result<(bool, End), Malformed> {
        let is_object = members.read_value(&mut self.scanner)?;
        let at = self.scanner.position();
        self.utf_8(begin, at)?;
        Ok((is_object, End { at, goes_on: self.scanner.next_item(&mut false)? }))
    }

    /// Goes past an item that is no JSON. Where it has no end, it is the rest of the text.
    fn end_of_item(&mut self, begin: Mark, frame: Frame<'_>, error: Malformed) -> Result<End, Stop> {
        let start = begin.position();
        let rest = self.scanner.from(start);
        if let Some(length) = Brackets::default().end_of_item(rest) {
            self.scanner.rewind(begin);
            self.scanner.seek(start + length);
            let goes_on = self.scanner.next_item(&mut false)?;
            return Ok(End { at: start + length, goes_on });
        }
        let place = if self.is_first && self.index == 0 { Place::Whole } else { Place::Item(self.index) };
        let text = self.scanner.slice(start, start + rest.len());
        self.push(place, Err(malformed(error, text)), Source { frame, text, is_open: true });
        Err(Stop::Rest)
    }

    /// Goes past a list that begins here, without a look at its items where they are no JSON.
    pub(super) fn skip_items(&mut self, list: Mark) -> Result<(), Malformed> {
        self.list.0 = list.position();
        if let Err(error) = self.scanner.skip(Token::Array) {
            self.scanner.rewind(list);
            let mut item = list.position() + 1;
            loop {
                let length = Brackets::default().end_of_item(self.scanner.from(item)).ok_or(error)?;
                self.scanner.seek(item + length);
                if !self.scanner.next_item(&mut false)? {
                    break;
                }
                item = self.scanner.position();
            }
        }
        self.list.1 = self.scanner.position();
        Ok(())
    }
}
