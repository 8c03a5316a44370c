//! What clocks show in a time zone.

use std::{ops::Range, sync::LazyLock};

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::reading::Timestamp;

/// The rules of all zones, which come with the binary: a machine's own are as old as its packages.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// A stretch of time in which a zone's clock runs as far ahead of UTC's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) time: Range<Timestamp>,
    pub(super) offset_micros: i64,
}

impl Stretch {
    /// What the clock shows at an instant of it, as microseconds from 1970 on.
    pub(super) fn local_micros(&self, time: Timestamp) -> i64 {
        time.micros() + self.offset_micros
    }
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of this name, written as the database writes it.
    pub fn named(name: &str) -> Option<Self> {
        ZONES.get(name).ok().map(Self).filter(|zone| zone.name() == name)
    }

    /// Every name.
    pub fn names() -> impl Iterator<Item = String> {
        ZONES.available().map(|name| name.as_str().to_owned())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    /// How many seconds its clock is ahead of UTC's.
    pub fn offset_seconds(&self, time: Timestamp) -> i32 {
        self.0.to_offset(instant(time)).seconds()
    }

    /// The first instant at which the clock shows this many microseconds since 1970, or has passed them where it skips
    /// them.
    pub fn first_instant(&self, local_micros: i64) -> Timestamp {
        /// No two clocks are further apart, and none skips or repeats more.
        const TWO_DAYS_MICROS: i64 = 2 * 86_400_000_000;
        let local = Timestamp::from_micros(local_micros);
        let around = local.plus_micros(-TWO_DAYS_MICROS)..local.plus_micros(TWO_DAYS_MICROS);
        for Stretch { time, offset_micros } in self.stretches(around) {
            let shown = local.plus_micros(-offset_micros);
            if shown < time.end {
                return shown.max(time.start);
            }
        }
        local
    }

    /// The stretches of a range, in order.
    pub(super) fn stretches(&self, range: Range<Timestamp>) -> impl Iterator<Item = Stretch> {
        let changes = self.0.following(instant(range.start)).map(|change| of(change.timestamp()));
        let changes = changes.take_while({
            let end = range.end;
            move |change| *change < end
        });
        let mut start = range.start;
        changes.chain([range.end]).map(move |end| {
            let time = std::mem::replace(&mut start, end)..end;
            let offset_micros = i64::from(self.offset_seconds(time.start)) * 1_000_000;
            Stretch { time, offset_micros }
        })
    }
}

/// The same for jiff, whose last instant is two days before the end of 9999: no zone changes its clock in those.
fn instant(time: Timestamp) -> jiff::Timestamp {
    let limit = if time.micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(time.micros()).unwrap_or(limit)
}

fn of(instant: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    fn first_instant(name: &str, local: &str) -> String {
        zone(name).first_instant(local.parse::<Timestamp>().unwrap().micros()).to_string()
    }

    #[test]
    fn a_name_is_written_in_one_way() {
        assert_eq!(zone("Europe/Berlin").name(), "Europe/Berlin");
        assert_eq!((zone("UTC").name(), Zone::UTC.name()), ("UTC", "UTC"));
        for name in ["", "europe/berlin", "Berlin", "Etc/Unknown", "+02:00", "CET-1CEST", "\u{0}"] {
            assert!(Zone::named(name).is_none(), "{name}");
        }
        assert!(Zone::names().count() > 500);
        assert!(Zone::names().all(|name| zone(&name).name() == name));
    }

    #[test]
    fn what_a_clock_skips_is_when_it_does_and_what_it_shows_twice_is_the_first_time() {
        for (name, local, expected) in [
            ("Europe/Berlin", "2026-03-29T01:59:59.999999", "2026-03-29T00:59:59.999999Z"),
            ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29T02:30:00.9", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29T02:59:59.999999", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29T03:00:00.000001", "2026-03-29T01:00:00.000001Z"),
            ("Europe/Berlin", "2026-10-25T02:30:00.5", "2026-10-25T00:30:00.500Z"),
            ("Australia/Lord_Howe", "2026-10-04T02:15:00.25", "2026-10-03T15:30:00Z"),
            // The whole 30th.
            ("Pacific/Apia", "2011-12-30T12:34:56.7", "2011-12-30T10:00:00Z"),
            ("UTC", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(first_instant(name, local), expected, "{name} {local}");
        }
    }

    #[test]
    fn rules_have_no_last_year() {
        for (name, local, expected) in [
            ("Europe/Berlin", "2100-07-01", "2100-06-30T22:00:00Z"),
            ("Europe/Berlin", "9998-07-01", "9998-06-30T22:00:00Z"),
            ("America/New_York", "2300-07-01", "2300-07-01T04:00:00Z"),
            ("Australia/Sydney", "9999-12-31", "9999-12-30T13:00:00Z"),
        ] {
            assert_eq!(first_instant(name, local), expected, "{name} {local}");
        }
    }

    #[test]
    fn stretches_are_the_range() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let range = time("2026-01-01")..time("2027-01-01");
        let found: Vec<Stretch> = zone("Europe/Berlin").stretches(range.clone()).collect();
        assert_eq!(found.iter().map(|one| one.offset_micros / 3_600_000_000).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!((found[0].time.start, found[2].time.end), (range.start, range.end));
        assert_eq!(
            (found[0].time.end, found[1].time.start),
            (time("2026-03-29T01:00Z"), time("2026-03-29T01:00Z"))
        );
        assert_eq!(Zone::UTC.stretches(range).count(), 1);
    }
}
