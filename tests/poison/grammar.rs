//! Texts that are nearly right: a grammar makes them, a few mutations spoil some of them.

use proptest::{collection::vec, option, prelude::*, sample::select};

/// A number as JSON or as lax text has it, at and past every border.
pub(crate) fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-1e6_f64..1e6).prop_map(|value| value.to_string()),
        2 => any::<f64>().prop_map(|value| format!("{value:e}")),
        2 => any::<i64>().prop_map(|value| value.to_string()),
        1 => "-?[0-9]{1,40}(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?",
        2 => select(vec![
            "0", "-0", "-0.0", "0e9", "1e400", "-1e400", "1e-400", "5e-324", "2.2250738585072011e-308",
            "1.7976931348623157e308", "1.7976931348623159e308", "9007199254740993", "0.1", "1E5", "01", "1.", ".5",
            "+1", "NaN", "inf", "-Infinity", "0x10", "1_000", "", "-", "1e", "18446744073709551616",
        ])
        .prop_map(str::to_owned),
    ]
}

/// A time as text, in any form or nearly.
pub(crate) fn time() -> impl Strategy<Value = String> {
    let date = prop_oneof![
        6 => (1999_i32..2028, 1_u32..13, 1_u32..32),
        1 => (0_i32..10_000, 0_u32..14, 0_u32..33),
        1 => (select(vec![0, 1, 1900, 2000, 2023, 2024, 2100, 9999]), select(vec![2_u32, 12]), 28_u32..32),
    ]
    .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"));
    let clock = (0_u32..25, 0_u32..61, option::of((0_u32..62, option::of(("[.,]", "[0-9]{0,12}")))))
        .prop_map(|(hour, minute, second)| {
            let second = second.map_or(String::new(), |(second, fraction)| {
                let fraction = fraction.map_or(String::new(), |(point, digits)| point + &digits);
                format!(":{second:02}{fraction}")
            });
            format!("{hour:02}:{minute:02}{second}")
        });
    let offset = prop_oneof![
        select(vec!["", "Z", "z", "+23:59", "-23:59", "-00:00", "+24:00", "+02", "-0730", "+2"])
            .prop_map(str::to_owned),
        (select(vec!['+', '-']), 0_u32..25, 0_u32..61)
            .prop_map(|(sign, hours, minutes)| format!("{sign}{hours:02}:{minutes:02}")),
    ];
    let time = (select(vec!["T", "T", "T", " ", "t", "_", "x"]), clock, offset)
        .prop_map(|(separator, clock, offset)| format!("{separator}{clock}{offset}"));
    prop_oneof![
        6 => (date, option::weighted(0.9, time)).prop_map(|(date, time)| date + &time.unwrap_or_default()),
        3 => unix_time(),
        1 => (unix_time(), "[ \t\n]{0,2}").prop_map(|(time, space)| format!("{space}{time}{space}")),
    ]
}

/// Unix time in seconds or milliseconds, near the border between the two or far from it.
fn unix_time() -> impl Strategy<Value = String> {
    let border = 20_000_000_000_i64;
    let whole = prop_oneof![
        border - 3..border + 4,
        -border - 3..-border + 4,
        946_684_799_i64..1_800_000_000,
        946_684_799_000_i64..1_800_000_000_000,
        any::<i64>(),
    ];
    (whole, option::of("[0-9]{1,9}"), option::of("e[0-3]")).prop_map(|(whole, fraction, exponent)| {
        let fraction = fraction.map_or(String::new(), |digits| format!(".{digits}"));
        format!("{whole}{fraction}{}", exponent.unwrap_or_default())
    })
}

/// A JSON string, now and then with escapes: also of half a character, and of what needs none.
fn quoted(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let escapes = select(vec![
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\ude00\\ud83d",
        "\\u0000",
        "\\n",
        "\\f",
        "\\x",
        "\\u00e9",
        "é",
        "\u{1}",
        "\\u12",
    ]);
    (text, escapes, any::<bool>()).prop_map(|(text, escape, is_spelt)| {
        let text = if is_spelt && text.len() == 5 {
            format!("\\u{:04x}{}", text.as_bytes()[0], &text[1..])
        } else {
            text
        };
        format!("\"{text}{escape}\"")
    })
}

/// JSON that no reading has.
fn anything() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        number(),
        quoted("[a-z ]{0,6}".boxed()),
        select(vec!["null", "true", "false", "nul", "[]", "{}"]).prop_map(str::to_owned),
        (100_usize..140).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            vec(("[a-z]{1,3}", inner), 0..3).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(" , "))
            }),
        ]
    })
}

fn sensor_id() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0_i32..5).prop_map(|id| id.to_string()),
        1 => any::<i64>().prop_map(|id| id.to_string()),
        1 => select(vec!["-0", "1.0", "1e0", "\"1\"", "null", "2147483647", "2147483648", "-2147483648"])
            .prop_map(str::to_owned),
        1 => anything(),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![8 => number(), 3 => quoted(number()), 1 => anything()]
}

fn timestamp() -> impl Strategy<Value = String> {
    prop_oneof![8 => quoted(time()), 4 => unix_time(), 1 => Just("null".to_owned()), 1 => anything()]
}

/// Members of an object, mostly those of a reading, each once and in any order.
fn object(with_sensor: bool, data: BoxedStrategy<Option<String>>) -> impl Strategy<Value = String> {
    let sensor = if with_sensor { 0.93 } else { 0.15 };
    let named = |name: &'static str, value: BoxedStrategy<String>| {
        let key = prop_oneof![
            30 => Just(format!("\"{name}\"")),
            1 => Just(format!("\"\\u{:04x}{}\"", name.as_bytes()[0], &name[1..])),
            1 => Just(format!("\"{}\"", name.to_uppercase())),
        ];
        (key, value, "[ \n]{0,1}").prop_map(|(key, value, space)| format!("{key}{space}:{space}{value}"))
    };
    let other = option::weighted(0.2, (quoted("[a-z]{1,5}".boxed()), anything()));
    let again = option::weighted(
        0.06,
        prop_oneof![
            named("value", value().boxed()),
            named("timestamp", timestamp().boxed()),
            named("sensor_id", sensor_id().boxed()),
            named("data", anything().boxed()),
        ],
    );
    (
        option::weighted(sensor, named("sensor_id", sensor_id().boxed())),
        option::weighted(0.97, named("value", value().boxed())),
        option::weighted(0.85, named("timestamp", timestamp().boxed())),
        data,
        (other, again),
    )
        .prop_flat_map(|(sensor, value, timestamp, data, (other, again))| {
            let (value, timestamp) = match &data {
                // A list stands alone, most of the time.
                Some(data) if !data.len().is_multiple_of(9) => (None, None),
                _ => (value, timestamp),
            };
            let data = data.map(|data| format!("\"data\":{data}"));
            let other = other.map(|(key, value)| format!("{key}:{value}"));
            let members: Vec<String> =
                [sensor, value, timestamp, data, other, again].into_iter().flatten().collect();
            Just(members).prop_shuffle()
        })
        .prop_map(|members| format!("{{{}}}", members.join(",")))
}

/// A reading's object; one in a list has no sensor of its own.
pub(crate) fn reading(with_sensor: bool) -> impl Strategy<Value = String> {
    let reading = object(with_sensor, option::weighted(0.02, anything()).boxed());
    prop_oneof![30 => reading, 1 => anything()]
}

fn list(with_sensor: bool) -> impl Strategy<Value = String> {
    (vec(reading(with_sensor), 0..5), select(vec![",", ",", " , ", ",\n"]))
        .prop_map(|(items, comma)| format!("[{}]", items.join(comma)))
}

/// An object with a list under `data`.
pub(crate) fn batch(with_sensor: bool) -> impl Strategy<Value = String> {
    object(
        with_sensor,
        option::weighted(0.98, prop_oneof![20 => list(false).boxed(), 1 => anything().boxed()]).boxed(),
    )
}

/// A record in one of the topic's three forms.
pub(crate) fn record() -> impl Strategy<Value = String> {
    prop_oneof![reading(true).boxed(), batch(true).boxed(), list(true).boxed()]
}

/// The items of a body of `POST /readings`, between brackets or on lines.
pub(crate) fn items() -> impl Strategy<Value = String> {
    let line_ends = select(vec!["\n", "\r\n", "\n\n", " \n\t"]);
    let lines = (vec(reading(true), 0..5), line_ends).prop_map(|(items, end)| items.join(end));
    prop_oneof![lines, list(true)]
}

/// Bytes of a text, most of the time as they are, else spoilt in up to three places.
pub(crate) fn spoilt(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => select(b"\"\\{}[],:0-.eE+ \n\r\t\x0c\0\xff\xc3".to_vec()), 1 => any::<u8>()];
    let change = (any::<prop::sample::Index>(), 0_u8..5, byte);
    let changes = prop_oneof![3 => Just(vec![]), 2 => vec(change, 1..4)];
    let around = select(vec![
        ("", ""),
        ("", ""),
        ("", ""),
        (" ", "\n"),
        ("\u{feff}", ""),
        ("", "x"),
        ("", " 1"),
        ("", "\0"),
    ]);
    (text, changes, around).prop_map(|(text, changes, (before, behind))| {
        let mut bytes = [before.as_bytes(), text.as_bytes(), behind.as_bytes()].concat();
        for (place, how, byte) in changes {
            let at = place.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(at),
                _ => {
                    let end = (at + 7).min(bytes.len());
                    let copied = bytes[at..end].to_vec();
                    bytes.splice(at..at, copied);
                }
            }
        }
        bytes
    })
}
