//! What is refused costs time in proportion to its bytes, of whatever kind it is: long records against some of a quarter.
//!
//! `LINEAR_MIB=16 dev/test --test poison -- linear` takes the longest that a body may be, and minutes.

use std::time::{Duration, Instant};

use sensorpipe::{
    batch::RECORD_DEAD_LETTERS_MAX,
    http::parsing::{ReadingsForm, readings, sensor_data},
};

use crate::targets::{
    letters,
    reference::{RECEIVED, WINDOW},
};

/// Of the long records, in MiB, where `LINEAR_MIB` does not say otherwise: so long that the square of it takes minutes.
const LONG_MIB: usize = 2;
/// Four times the bytes take four times as long, and some more for memory that is new.
const TIMES: u32 = 6;
/// Too short a time to tell.
const UNCLEAR: Duration = Duration::from_millis(500);
/// For a build without optimisation on a busy machine.
const LONGEST: Duration = Duration::from_secs(120);
/// Another process may have had the core.
const ATTEMPTS: u32 = 3;

/// Bytes of which everything is refused: the first part, the second one again and again, the third.
struct Kind {
    name: &'static str,
    first: &'static str,
    again: &'static str,
    last: &'static str,
}

impl Kind {
    /// Without NUL and bytes that are no text, which a Rust string holds as others: `\x01` and `\x02` stand for them.
    fn bytes(&self, length: usize) -> Vec<u8> {
        let around = self.first.len() + self.last.len();
        let middle = self.again.repeat((length - around) / self.again.len());
        let stand_in = |byte| match byte {
            1 => 0,
            2 => 0xff,
            byte => byte,
        };
        [self.first, &middle, self.last].concat().into_bytes().into_iter().map(stand_in).collect()
    }
}

const fn kind(name: &'static str, first: &'static str, again: &'static str, last: &'static str) -> Kind {
    Kind { name, first, again, last }
}

const KINDS: [Kind; 44] = [
    kind("numbers for items", "[", "0,", "0]"),
    kind("arrays for items", "[", "[],", "[]]"),
    kind("objects without members", "[", "{},", "{}]"),
    kind("nothing for items", "[", ",", "]"),
    kind("items that are no JSON", "[", "x,", "x]"),
    kind("items with a quote too many", "[", "\"\"\",", "0]"),
    kind("objects that are no JSON", "[", r#"{"sensor_id":1,"value":.5},"#, "0]"),
    kind("not finite", "[", r#"{"sensor_id":1,"value":NaN},"#, "0]"),
    kind("values that are text", "[", r#"{"sensor_id":1,"value":"warm"},"#, "0]"),
    kind("NUL bytes", "[0,0,0,", "\x01,", "0]"),
    kind("bytes that are no text", "[0,0,0,", "\x02,", "0]"),
    kind("members in escapes", "[", r#"{"\u0073ensor_id":1,"\u0076alue":""},"#, "0]"),
    kind("keys that stand twice", "[", r#"{"sensor_id":1,"value":1,"value":2},"#, "0]"),
    kind("one object with a key again and again", "{", r#""value":1,"#, r#""value":1}"#),
    kind("one object with many members", "{", r#""a":[{}],"#, r#""value":1}"#),
    kind("invalid timestamps", "[", r#"{"sensor_id":1,"value":1,"timestamp":"never"},"#, "0]"),
    kind("other names of the time", "[", r#"{"sensor_id":1,"value":1,"time":5},"#, "0]"),
    kind("too old", "[", r#"{"sensor_id":1,"value":1,"timestamp":5},"#, "0]"),
    kind("too new", "[", r#"{"sensor_id":1,"value":1,"timestamp":"9999-01-01"},"#, "0]"),
    kind("ids that are too large", "[", r#"{"sensor_id":99999999999,"value":1},"#, "0]"),
    kind("unknown sensors", "[", r#"{"sensor_id":9,"value":1,"timestamp":1728743340},"#, "0]"),
    kind(
        "unknown sensors without a time",
        "[",
        r#"{"sensor_id":9,"value":1},{"sensor_id":8,"value":1},"#,
        "0]",
    ),
    kind("bad ones among unknown sensors", "[", r#"0,{"sensor_id":9,"value":1},"#, "0]"),
    kind("a list of numbers", r#"{"sensor_id":1,"data":["#, "0,", "0]}"),
    kind("a list of an unknown sensor", r#"{"sensor_id":9,"data":["#, r#"{"value":1},"#, "0]}"),
    kind("a list in front of its sensor", r#"{"data":["#, "0,x,", r#"0],"sensor_id":9}"#),
    kind("a list beside a value", r#"{"sensor_id":9,"data":["#, r#"{"value":1},"#, r#"0],"value":1}"#),
    kind("lists beside values", "", r#"{"sensor_id":9,"data":[{"value":1},0],"value":1}"#, ""),
    kind("one list behind the other", r#"{"sensor_id":9"#, r#","data":[{"value":1}]"#, "}"),
    kind("lists of times that come later", "", r#"{"sensor_id":9,"data":[{"value":1},0],"time":1}"#, ""),
    kind("lists that break off", "", "{\"sensor_id\":9,\"data\":[{\"value\":1},0\n", ""),
    kind("lines that are no JSON", "", "x\n", ""),
    kind("lines of empty objects", "", "{}\n", ""),
    kind("lines that break off", "", "{\"a\n", ""),
    kind("lines with a bracket too many", "", "{}}\n", ""),
    kind("blank lines behind what is no JSON", "x", "\n", "x"),
    kind("blank lines and spaces", "x", "\n \t\r\n", ""),
    kind("values one behind the other", "", "{}[0]", ""),
    kind("open arrays", "", "[", ""),
    kind("open objects", "", r#"{"a":"#, ""),
    kind("items nested too deep", "[", concat!("[[[[[[[[[[[[[[[[", "]]]]]]]]]]]]]]]]", ","), "0]"),
    kind("a number of many digits", r#"[{"sensor_id":9,"value":1"#, "0", "}]"),
    kind("a time of many digits", r#"[{"sensor_id":9,"value":1,"timestamp":1"#, "0", "}]"),
    kind("a string of escapes", r#"[{"sensor_id":9,"value":""#, r"\u0031", r#""}]"#),
];

/// `work` takes at most so many times as long for four times the bytes.
fn is_linear(name: &str, bytes: impl Fn(usize) -> Vec<u8>, work: impl Fn(&[u8])) {
    let took = |length| {
        let bytes = bytes(length);
        let started = Instant::now();
        work(&bytes);
        started.elapsed()
    };
    let long_bytes = std::env::var("LINEAR_MIB").map_or(LONG_MIB, |mib| mib.parse().expect("a number")) << 20;
    let mut attempts = Vec::new();
    for _ in 0..ATTEMPTS {
        let (short, long) = (took(long_bytes / 4), took(long_bytes));
        attempts.push((short, long));
        if long < LONGEST && long < short * TIMES + UNCLEAR {
            println!("{name}: {short:?} and {long:?}");
            return;
        }
    }
    panic!("{name}: {} and {long_bytes} bytes take {attempts:?}", long_bytes / 4);
}

/// No more dead letters than are kept, and hardly more bytes than came.
fn letters_are_bounded(kind: &str, payload: &[u8]) {
    let letters = letters::of(payload, usize::MAX);
    assert!(
        !letters.is_empty() && letters.len() <= RECORD_DEAD_LETTERS_MAX,
        "{kind}: {} letters",
        letters.len()
    );
    let bytes: usize = letters.iter().map(sensorpipe::batch::DeadLetter::byte_count).sum();
    assert!(bytes <= 8 * payload.len() + (256 << 10), "{kind}: {bytes} bytes of {}", payload.len());
}

#[test]
fn dead_letters_cost_what_their_records_bytes_cost() {
    for kind in &KINDS {
        is_linear(kind.name, |length| kind.bytes(length), |payload| letters_are_bounded(kind.name, payload));
    }
}

#[test]
fn what_stands_beside_a_list_is_not_in_each_of_its_letters() {
    for (name, first, again, middle) in [
        ("an id of many digits", r#"{"sensor_id":1"#, "0", r#","data":["#),
        ("a time of many letters", r#"{"sensor_id":9,"time":""#, "x", r#"","data":["#),
    ] {
        let items = r#"{"value":1,"timestamp":1728743340},"#;
        let bytes = |length: usize| {
            let beside = [first, &again.repeat(length / 2), middle].concat();
            [&beside, &items.repeat(900), "0]}"].concat().into_bytes()
        };
        is_linear(name, bytes, |payload| letters_are_bounded(name, payload));
    }
}

#[test]
fn a_record_that_is_too_large_or_in_another_encoding_is_one_letter() {
    let digits = |length| vec![b'1'; length];
    is_linear("too large", digits, |payload| assert_eq!(letters::of(payload, 1_000).len(), 1));
    let utf_16 = |length: usize| [0xff, 0xfe].into_iter().chain(std::iter::repeat_n(0, length)).collect();
    is_linear("UTF-16", utf_16, |payload| assert_eq!(letters::of(payload, usize::MAX).len(), 1));
}

/// As they arrive: in chunks. Each in the form that it has: an array as JSON, lines as NDJSON, an object for one sensor.
#[test]
fn refused_bodies_over_http_cost_what_their_bytes_cost() {
    const CHUNK: usize = 16 << 10;
    for kind in &KINDS {
        is_linear(
            kind.name,
            |length| kind.bytes(length),
            |body| match kind.first.as_bytes().first() {
                Some(b'[') => drop(readings(ReadingsForm::Values, body.chunks(CHUNK), &WINDOW, RECEIVED)),
                Some(b'{') => drop(sensor_data(body, 9, WINDOW, RECEIVED)),
                Some(_) | None => drop(readings(ReadingsForm::Lines, body.chunks(CHUNK), &WINDOW, RECEIVED)),
            },
        );
    }
}
