//! Stretches of time that grow as they lead away from where a search begins.
//!
//! "The newest reading" bounds no time, so its plan holds every chunk: 8 ms at 53 of them, and more with each that
//! comes. The same asked of the last day first, then of the four days before it, and so on, plans two or three
//! chunks where the sensor is alive, and looks into each chunk at most once (or twice, where a window cuts it)
//! where it is not. Nine windows reach across a century, and a window without chunks costs 0.3 ms. A window with more
//! chunks than one statement may touch is cut into [`ChunkSpans`].

use std::ops::Range;

use crate::{reading::Timestamp, store::chunk_spans::ChunkSpans};

/// Where a search begins that nothing bounds: `timestamptz` holds nothing before, 4714 BC.
pub(in crate::store) const BEGINNING: Timestamp = Timestamp::from_micros(-210_866_803_200_000_000);
/// Where it ends: the year 255,480, past which a client could not be told of a reading.
pub(in crate::store) const END: Timestamp = Timestamp::from_micros(8_000_000_000_000_000_000);

const DAY_MICROS: i64 = 86_400_000_000;
const GROWTH: i64 = 4;

/// Windows from the end of `range` back to its start, newest first, without gap or overlap.
pub(in crate::store) fn backwards(
    range: Range<Timestamp>,
    now: Timestamp,
    spans: ChunkSpans,
) -> impl Iterator<Item = Range<Timestamp>> + Send {
    growing_backwards(range, now).flat_map(move |window| spans.split(window).into_iter().rev())
}

/// Windows from the start of `range` on to its end, oldest first, without gap or overlap.
pub(in crate::store) fn forwards(
    range: Range<Timestamp>,
    now: Timestamp,
    spans: ChunkSpans,
) -> impl Iterator<Item = Range<Timestamp>> + Send {
    growing_forwards(range, now).flat_map(move |window| spans.split(window))
}

fn growing_backwards(
    range: Range<Timestamp>,
    now: Timestamp,
) -> impl Iterator<Item = Range<Timestamp>> + Send {
    let mut end = range.end;
    // What lies ahead of the clock is in the first window.
    let mut start = now.min(range.end).plus_micros(-DAY_MICROS);
    let mut length = DAY_MICROS;
    std::iter::from_fn(move || {
        if end <= range.start {
            return None;
        }
        start = start.max(range.start);
        let window = start..end;
        end = start;
        length = length.saturating_mul(GROWTH);
        start = start.plus_micros(-length);
        Some(window)
    })
}

fn growing_forwards(
    range: Range<Timestamp>,
    now: Timestamp,
) -> impl Iterator<Item = Range<Timestamp>> + Send {
    let mut start = range.start;
    // Nobody knows where the first reading is, so the first window reaches to now; from a known start it is a day.
    let mut length = DAY_MICROS;
    let mut end = if range.start <= BEGINNING { now.max(range.start) } else { start.plus_micros(length) };
    std::iter::from_fn(move || {
        if start >= range.end {
            return None;
        }
        end = end.min(range.end).max(start.plus_micros(1));
        let window = start..end;
        start = end;
        length = length.saturating_mul(GROWTH);
        end = end.plus_micros(length);
        Some(window)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn a_search_for_the_newest_looks_at_the_last_day_first() {
        let windows: Vec<Range<Timestamp>> = growing_backwards(BEGINNING..END, NOW).collect();
        assert_eq!(windows[0], NOW.plus_micros(-DAY_MICROS)..END);
        assert_eq!(windows[1].start, NOW.plus_micros(-5 * DAY_MICROS));
        assert!(windows.len() <= 15, "{}", windows.len());
    }

    #[test]
    fn a_page_from_a_cursor_on_looks_at_the_next_day_first() {
        let windows: Vec<Range<Timestamp>> = growing_forwards(NOW..END, NOW).collect();
        assert_eq!(windows[0], NOW..NOW.plus_micros(DAY_MICROS));
        assert!(windows.len() <= 15, "{}", windows.len());
        assert_eq!(growing_forwards(BEGINNING..END, NOW).next(), Some(BEGINNING..NOW));
    }

    proptest! {
        #[test]
        fn windows_are_the_range(start in any::<i64>(), end in any::<i64>(), now in 0_i64..4_000_000_000_000_000) {
            let bounded = |micros| Timestamp::from_micros(micros).max(BEGINNING).min(END);
            let range = bounded(start)..bounded(end);
            let now = Timestamp::from_micros(now);
            let mut newest_first: Vec<_> = growing_backwards(range.clone(), now).collect();
            newest_first.reverse();
            let oldest_first: Vec<_> = growing_forwards(range.clone(), now).collect();
            for windows in [newest_first, oldest_first] {
                prop_assert!(windows.len() <= 16);
                let Some(first) = windows.first() else {
                    prop_assert!(range.is_empty());
                    continue;
                };
                prop_assert_eq!(first.start, range.start);
                prop_assert_eq!(windows[windows.len() - 1].end, range.end);
                prop_assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start));
                prop_assert!(windows.iter().all(|window| window.start < window.end));
            }
        }
    }
}
