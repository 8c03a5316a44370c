//! A record's values, one behind the other.

use memchr::memchr;

use super::{
    Decoded, Decoder, Frame, Mark, Members, Place, Reason, Reject, Source, Stop, foreign_encoding, malformed,
    members::Data, repeated_key,
};
use crate::reading::{brackets::Brackets, json::Malformed};

impl<'a> Decoder<'a, '_, '_> {
    /// The record as it came, of which this decoder has the text.
    pub(super) fn payload(mut self, payload: &[u8]) {
        let refusal = if payload.is_empty() {
            Some(Reject::new(Reason::EmptyRecord, "the record has no value"))
        } else {
            foreign_encoding(payload)
        };
        match refusal {
            Some(reject) => self.push(Place::Whole, Err(reject), Source::new(Frame::Alone, payload)),
            None => self.values(),
        }
    }

    fn values(&mut self) {
        while let Some(byte) = self.scanner.peek() {
            let start = self.scanner.position();
            let goes_on = match byte {
                b'{' => self.object(start),
                b'[' => self.array(),
                _ => self.neither(start),
            };
            if !goes_on {
                return;
            }
            self.is_first = false;
        }
        if self.is_first {
            let reject = malformed("expected a value", self.scanner.slice(0, self.scanner.position()));
            self.push(Place::Whole, Err(reject), Source::new(Frame::Alone, &[]));
        }
    }

    /// `[{"sensor_id":…,"value":…,"timestamp":…},…]`. False where it has no end.
    fn array(&mut self) -> bool {
        self.scanner.token().is_ok() && self.items(None).is_ok()
    }

    /// `{"sensor_id":…,"value":…,"timestamp":…}` or `{"sensor_id":…,"data":[…]}`. False where its list has no end.
    fn object(&mut self, start: usize) -> bool {
        let first = self.index;
        let mut members = Members::default();
        match self.object_members(start, &mut members) {
            Ok(()) => self.object_outcome(start, first, &members),
            Err(Stop::Rest) => false,
            Err(Stop::Malformed(error)) => {
                self.malformed_object(start, first, error);
                true
            }
        }
    }

    fn object_members(&mut self, start: usize, members: &mut Members<'a>) -> Result<(), Stop> {
        self.scanner.token()?;
        self.members(members)?;
        if !self.is_utf_8 {
            // The list's items have been looked at one by one.
            let (list_start, list_end) = if members.has_list() { self.list } else { (start, start) };
            self.utf_8(start, list_start)?;
            self.utf_8(list_end, self.scanner.position())?;
        }
        Ok(())
    }

    fn object_outcome(&mut self, start: usize, first: u32, members: &Members<'a>) -> bool {
        let end = self.scanner.mark();
        let alone = Source::new(Frame::Alone, self.scanner.slice(start, self.scanner.position()));
        let place = self.place_of_value(first);
        let Some(data) = members.data else {
            let outcome = self.reading(place, members, None);
            self.push(place, outcome, alone);
            return true;
        };
        let list = match (fault_of_list(members, &data), data) {
            (Some(fault), _) => {
                self.take_back(first);
                self.push(place, Err(fault), alone);
                return true;
            }
            (None, Data::Waiting(list)) => list,
            // Known only now: no reading of the list may have its time from elsewhere.
            (None, Data::Decoded(list)) if self.lacks_times && members.time.is_some() => {
                self.take_back(first);
                list
            }
            (None, Data::Decoded(_) | Data::NotAList) => return true,
        };
        let beside = self.list_of(members);
        self.scanner.rewind(list);
        let is_whole = self.items(Some(&beside)).is_ok();
        self.scanner.rewind(end);
        is_whole
    }

    /// What is left of an object that is no JSON: all of it, or what stands behind the list whose readings are out.
    fn malformed_object(&mut self, start: usize, first: u32, error: Malformed) {
        // Not before what has been read of its list: a quote that is out of place may hide its bracket.
        let end = self.end_of_object(start).max(self.list.1);
        let source = if self.index == first {
            Source::new(Frame::Alone, self.scanner.slice(start, end))
        } else {
            Source::new(Frame::BehindList, self.scanner.slice(self.list.1, end))
        };
        self.scanner.rewind(Mark::outside(end));
        let place = self.place_of_value(self.index);
        self.push(place, Err(malformed(error, source.text)), source);
    }

    /// What begins neither an object nor an array: up to the line that begins one.
    fn neither(&mut self, start: usize) -> bool {
        let end = self.next_line_of_json(start);
        let text = self.scanner.slice(start, end);
        let read =
            self.utf_8(start, end).and_then(|()| self.scanner.token()).and_then(|_| self.scanner.end_at(end));
        let reject = match read {
            Ok(()) => Reject::new(Reason::WrongShape, "neither an object nor an array"),
            Err(error) => malformed(error, text),
        };
        self.scanner.rewind(Mark::outside(end));
        let place = self.place_of_value(self.index);
        self.push(place, Err(reject), Source::new(Frame::Alone, text));
        true
    }

    /// Where an object ends that is no JSON: with its bracket, or, where that is missing, in front of the next line
    /// that begins an object or an array. The text is read to its end for that once; from then on brackets close
    /// before that line or not at all.
    fn end_of_object(&mut self, start: usize) -> usize {
        let line = self.next_line_of_json(start);
        let within = if self.is_unbalanced { line - start } else { usize::MAX };
        let text = self.scanner.from(start);
        if let Some(length) = Brackets::default().end_of_container(&text[..within.min(text.len())]) {
            return start + length;
        }
        self.is_unbalanced = true;
        line
    }

    /// The start of the next line that begins an object or an array; the text's end where there is none.
    fn next_line_of_json(&mut self, start: usize) -> usize {
        if start < self.next_line {
            return self.next_line;
        }
        let text = self.scanner.from(start);
        let mut at = 0;
        self.next_line = start + text.len();
        while let Some(length) = memchr(b'\n', &text[at..]) {
            let line = at + length + 1;
            let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            // Blank lines are passed at once: each of them would be followed by all that come behind it.
            at = line + text[line..].iter().take_while(is_space).count();
            if matches!(text.get(at), Some(b'{' | b'[')) {
                self.next_line = start + line;
                break;
            }
        }
        self.next_line
    }

    /// The place of a value that has been read: the record is it where nothing else stands there.
    fn place_of_value(&mut self, index: u32) -> Place {
        if self.is_first && index == 0 && self.scanner.peek().is_none() {
            Place::Whole
        } else {
            Place::Item(index)
        }
    }

    fn take_back(&mut self, first: u32) {
        if self.index > first {
            (self.each)(Decoded::TakeBack(first), None);
            self.index = first;
        }
    }

    /// Whether a part of the text is UTF-8. What ends and begins it is ASCII.
    pub(super) fn utf_8(&self, start: usize, end: usize) -> Result<(), Malformed> {
        if self.is_utf_8 || std::str::from_utf8(&self.scanner.from(start)[..end - start]).is_ok() {
            Ok(())
        } else {
            Err(Malformed::new("UTF-8", start))
        }
    }
}

fn fault_of_list(members: &Members<'_>, data: &Data) -> Option<Reject> {
    match data {
        _ if members.has_repeated_key => Some(repeated_key()),
        _ if members.value.is_some() => Some(Reject::new(
            Reason::WrongShape,
            "both `value` and `data`: a single reading or a list of them",
        )),
        Data::NotAList => Some(Reject::new(Reason::WrongShape, "`data` is not an array")),
        Data::Decoded(_) | Data::Waiting(_) => None,
    }
}
