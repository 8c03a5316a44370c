use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const START_MS: i64 = 1_790_000_000_000;

/// A record: its timestamp and the sensors of its readings.
type Entry = (i64, Vec<i32>);

fn times(given: &mut GivenTimes, (record_ms, sensors): &Entry) -> Vec<(i32, i64)> {
    let mut time_of = given.of_record(Some(Timestamp::from_millis(*record_ms)));
    let places = (0..).map(Place::Item);
    sensors.iter().zip(places).map(|(&id, place)| (id, time_of(id, place).unwrap().micros())).collect()
}

fn micros(given: &mut GivenTimes, record_ms: i64, sensors: &[i32]) -> Vec<i64> {
    let all = times(given, &(record_ms, sensors.to_vec()));
    all.into_iter().map(|(_, time)| time - record_ms * 1_000).collect()
}

#[test]
fn a_reading_has_its_records_time_and_place() {
    let mut given = GivenTimes::default();
    assert_eq!(micros(&mut given, START_MS, &[1, 1, 1, 2]), [0, 1, 2, 3]);
    assert_eq!(micros(&mut given, START_MS + 1, &[1, 2]), [0, 1], "what does not meet is not moved");
}

#[test]
fn records_with_the_same_timestamp_are_told_apart() {
    let mut given = GivenTimes::default();
    for record in 0..2_500 {
        assert_eq!(micros(&mut given, START_MS, &[1]), [record]);
    }
    assert_eq!(micros(&mut given, START_MS, &[2]), [0], "another sensor is none of that");
    assert_eq!(micros(&mut given, START_MS + 1, &[1]), [1_500], "1,000 to a millisecond");
    assert_eq!(micros(&mut given, START_MS + 3, &[1]), [0]);
}

#[test]
fn a_clock_that_is_set_back_moves_readings_by_less_than_a_second() {
    let mut given = GivenTimes::default();
    assert_eq!(micros(&mut given, START_MS, &[1, 2]), [0, 1]);
    assert_eq!(micros(&mut given, START_MS - 999, &[1]), [999_001]);
    assert_eq!(micros(&mut given, START_MS - 1_000, &[2]), [0]);
}

#[test]
fn a_record_without_a_timestamp_gives_none() {
    let mut given = GivenTimes::default();
    let reject = given.of_record(None)(1, Place::Whole).unwrap_err();
    assert_eq!(reject.reason, Reason::InvalidTimestamp);
    assert!(given.is_empty());
}

#[test]
fn what_is_remembered_is_bounded_and_ends() {
    let mut given = GivenTimes::default();
    for id in 0..10_000 {
        micros(&mut given, START_MS, &[id]);
    }
    assert_eq!(given.by_turn.len(), SENSORS_MAX);
    assert!(given.to_bytes(i64::MAX).len() < 32 * SENSORS_MAX / 4);
    assert_eq!(micros(&mut given, START_MS, &[9_999, 0]), [1, 1], "0 was forgotten: this is its place");
    // 10 ms later the last 64 are left, and after a minute none.
    drop(given.of_record(Some(Timestamp::from_millis(START_MS + 11))));
    assert_eq!(given.by_turn.len(), KEPT_FOR_LONGER);
    drop(given.of_record(None));
    drop(given.of_record(Some(Timestamp::from_millis(START_MS + 60_000))));
    assert_eq!(given.by_turn.len(), KEPT_FOR_LONGER);
    drop(given.of_record(Some(Timestamp::from_millis(START_MS + 60_001))));
    assert!(given.is_empty());
}

#[test]
fn a_time_in_a_far_future_keeps_nothing_else_from_being_forgotten() {
    let mut given = GivenTimes::default();
    micros(&mut given, START_MS * 2, &(0..100).collect::<Vec<_>>());
    for step in 0..1_000 {
        micros(&mut given, START_MS + step * 20, &[1_000 + step as i32]);
    }
    assert_eq!(given.by_turn.len(), KEPT_FOR_LONGER);
}

#[test]
fn extreme_timestamps_do_no_harm() {
    let mut given = GivenTimes::default();
    for millis in [i64::MAX, i64::MIN, 0, i64::MAX, i64::MAX - 1, i64::MIN] {
        for (sensor_id, place) in [(i32::MIN, Place::Item(u32::MAX)), (i32::MAX, Place::Whole)] {
            given.of_record(Some(Timestamp::from_millis(millis)))(sensor_id, place).unwrap();
        }
        assert_eq!(GivenTimes::from_bytes(Some(&given.to_bytes(7)), 7), given);
    }
}

#[test]
fn bytes_of_another_offset_or_version_are_not_used() {
    let mut given = GivenTimes::default();
    micros(&mut given, START_MS, &[1, -5, i32::MAX]);
    let bytes = given.to_bytes(42);
    assert_eq!(GivenTimes::from_bytes(Some(&bytes), 42), given);
    assert_ne!(bytes, given.to_bytes(43));
    for (bytes, offset) in [
        (None, 42),
        (Some(bytes.as_slice()), 43),
        (Some(&bytes[..bytes.len() - 1]), 42),
        (Some(&[]), 0),
        (Some(&[2, 84]), 42),
        (Some(&[VERSION, 0xff]), 42),
        (Some(&[0xff; 40]), 42),
    ] {
        assert!(GivenTimes::from_bytes(bytes, offset).is_empty(), "{bytes:?}");
    }
}

/// Steps between records in milliseconds, those back included, and few sensors, so that much meets.
fn log() -> impl Strategy<Value = Vec<Entry>> {
    let step = prop_oneof![6 => Just(0), 3 => 1_i64..3, 1 => -50_i64..50, 1 => -3_000_i64..70_000];
    let sensors = prop_oneof![
        9 => proptest::collection::vec(0_i32..5, 0..4),
        1 => proptest::collection::vec(0_i32..300, 0..200),
    ];
    proptest::collection::vec((step, sensors), 0..80).prop_map(|steps| {
        let mut now = START_MS;
        let entry = |(step, sensors)| {
            now += step;
            (now, sensors)
        };
        steps.into_iter().map(entry).collect()
    })
}

proptest! {
    /// Wherever the log is cut into batches, and whoever goes on from what is stored there.
    #[test]
    fn times_do_not_depend_on_batches(log in log(), cuts in proptest::collection::vec(any::<bool>(), 80)) {
        let (mut whole, mut cut) = (GivenTimes::default(), GivenTimes::default());
        for ((offset, entry), is_cut) in (0..).zip(&log).zip(cuts) {
            prop_assert_eq!(times(&mut whole, entry), times(&mut cut, entry));
            if is_cut {
                let bytes = cut.to_bytes(offset);
                cut = GivenTimes::from_bytes(Some(&bytes), offset);
                prop_assert_eq!(cut.to_bytes(offset), bytes);
            }
            prop_assert_eq!(&whole, &cut);
        }
    }

    /// Never before the record's own time, and less than a second after it and the place.
    #[test]
    fn times_are_near_the_records_own(log in log()) {
        let mut given = GivenTimes::default();
        for entry in &log {
            for (place, (_, time)) in (0_i64..).zip(times(&mut given, entry)) {
                let base = entry.0 * 1_000 + place;
                prop_assert!((base..=base + REACH_MICROS).contains(&time), "{} from {}", time - base, base);
            }
        }
    }

    /// Where the log's times do not go back, no two readings of a sensor have the same.
    #[test]
    fn no_two_readings_of_a_sensor_meet(mut log in log()) {
        log.sort_by_key(|&(record_ms, _)| record_ms);
        let (mut given, mut seen) = (GivenTimes::default(), HashSet::new());
        for entry in &log {
            for one in times(&mut given, entry) {
                prop_assert!(seen.insert(one), "{one:?} twice");
            }
        }
    }

    /// Nor where producers take turns whose clocks differ, each with sensors of its own.
    #[test]
    fn producers_whose_clocks_differ_do_no_harm(mut log in log(), skew_ms in -29_000_i64..29_000) {
        log.sort_by_key(|&(record_ms, _)| record_ms);
        let (mut given, mut seen) = (GivenTimes::default(), HashSet::new());
        for (turn, (record_ms, sensors)) in log.iter().enumerate() {
            let skew = if turn % 2 == 0 { 0 } else { skew_ms };
            let sensors = sensors.iter().map(|id| id % 30 + 30 * (turn as i32 % 2)).collect();
            for one in times(&mut given, &(record_ms + skew, sensors)) {
                prop_assert!(seen.insert(one), "{one:?} twice");
            }
        }
    }
}
