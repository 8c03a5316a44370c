//! Query strings: parameters, time zones, buckets, cursors.

use sensorpipe::{
    http::parsing::{page, stats},
    store::queries::{PageQuery, StatsQuery},
};

const SENSOR: i32 = 3;
const BUCKETS_MAX: usize = 50;

/// Any text may stand behind a question mark.
pub fn check(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let named =
        |name: &str| form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).count() > 0;
    if let Some(asked) = stats(query, SENSOR, BUCKETS_MAX) {
        covered(&asked);
        // Without an end it is the time of asking.
        if named("end") {
            let again = stats(&encoded_anew(query), SENSOR, BUCKETS_MAX);
            assert_eq!(format!("{again:?}"), format!("{:?}", Some(asked)), "encoded another way");
        }
    }
    if let Some(asked) = page(query, SENSOR) {
        let PageQuery { start, end, limit, .. } = asked;
        assert!((1..=10_000).contains(&limit), "{limit} readings on a page");
        assert!(named("after") || start.is_none() || end.is_none() || start < end, "an empty range");
        let again = page(&encoded_anew(query), SENSOR);
        assert_eq!(format!("{again:?}"), format!("{:?}", Some(asked)), "encoded another way");
    }
}

/// The buckets are in order, no more than may be, and cover the range without one too many.
fn covered(asked: &StatsQuery) {
    let StatsQuery { sensor_ids, start, end, edges, measures, .. } = asked;
    assert_eq!(sensor_ids, &[SENSOR]);
    assert!(start < end, "{start} is not before {end}");
    assert!((1..=32).contains(&measures.len()), "{} measures", measures.len());
    assert!((2..=BUCKETS_MAX + 1).contains(&edges.len()), "{} edges", edges.len());
    assert!(edges.is_sorted_by(|one, other| one < other), "{edges:?}");
    assert!(edges[0] <= *start && *start < edges[1], "{start} is not in the first bucket: {edges:?}");
    let [.., last, behind] = edges.as_slice() else { unreachable!("there are two") };
    assert!(last < end && end <= behind, "{end} is not in the last bucket: {edges:?}");
}

/// The same parameters with another choice of what is escaped.
fn encoded_anew(query: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form_urlencoded::parse(query.as_bytes()))
        .finish()
}
