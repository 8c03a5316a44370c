//! Buckets of time zones against Postgres' own rules.

use rand::{Rng, SeedableRng as _, rngs::StdRng};
use sensorpipe::{
    buckets::{Bucket, Zone, edges},
    reading::Timestamp,
};
use testbed::TestDatabase;

/// Zones whose rules no release of the database of zones has changed for some years, and both databases know alike.
const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Pacific/Apia",
    "Pacific/Chatham",
];

/// $1 instants, $2 the zone: what the clock shows, in microseconds.
const SHOWN: &str = "SELECT (extract(epoch FROM instant AT TIME ZONE $2) * 1000000)::bigint
    FROM unnest($1::timestamptz[]) WITH ORDINALITY AS asked (instant, place) ORDER BY place";

struct Reference {
    database: TestDatabase,
}

impl Reference {
    /// What the zone's clock shows at these instants, in microseconds from 1970 on.
    async fn shown(&self, zone: &str, instants: &[Timestamp]) -> Vec<i64> {
        let instants: Vec<_> = instants.iter().map(|instant| instant.to_datetime()).collect();
        sqlx::query_scalar(SHOWN).bind(instants).bind(zone).fetch_all(&self.database.pool).await.unwrap()
    }
}

fn dice(test: &str) -> StdRng {
    let seed = rand::random();
    println!("{test}: {seed}");
    StdRng::seed_from_u64(seed)
}

/// Mostly about a change of the clocks, in the years 1970 to 2500.
fn moment(dice: &mut StdRng, zone: &Zone) -> Timestamp {
    const HALF_A_YEAR_MICROS: i64 = 183 * 86_400_000_000;
    let anywhere = Timestamp::from_micros(dice.random_range(0..16_725_225_600_000_000));
    let (mut before, mut after) = (anywhere, anywhere.plus_micros(HALF_A_YEAR_MICROS));
    if zone.offset_seconds(before) == zone.offset_seconds(after) {
        return anywhere;
    }
    while after.micros() - before.micros() > 1 {
        let middle = Timestamp::from_micros(i64::midpoint(before.micros(), after.micros()));
        if zone.offset_seconds(middle) == zone.offset_seconds(before) {
            before = middle;
        } else {
            after = middle;
        }
    }
    after.plus_micros(dice.random_range(-7_200_000_000..7_200_000_000))
}

#[tokio::test]
async fn clocks_show_what_postgres_says_and_begin_when_it_says() {
    let reference = Reference { database: TestDatabase::create_empty().await };
    let mut dice = dice("clocks");
    for name in ZONES {
        let zone = Zone::named(name).unwrap();
        let instants: Vec<Timestamp> = (0..500).map(|_| moment(&mut dice, &zone)).collect();
        let shown = reference.shown(name, &instants).await;
        for (instant, shown) in instants.iter().zip(&shown) {
            let offset_micros = i64::from(zone.offset_seconds(*instant)) * 1_000_000;
            assert_eq!(instant.micros() + offset_micros, *shown, "{name} {instant}");
        }
        // The first instant at which the clock shows a time or has passed it: it has not just before.
        let wanted: Vec<i64> =
            shown.iter().map(|shown| shown + dice.random_range(-5_400_000_000..5_400_000_000)).collect();
        let firsts: Vec<Timestamp> =
            wanted.iter().map(|local_micros| zone.first_instant(*local_micros)).collect();
        let just_before: Vec<Timestamp> = firsts.iter().map(|first| first.plus_micros(-1)).collect();
        let (at, before) = (reference.shown(name, &firsts).await, reference.shown(name, &just_before).await);
        for (n, local_micros) in wanted.iter().enumerate() {
            let first = firsts[n];
            assert!(before[n] < *local_micros && *local_micros <= at[n], "{name} {local_micros}: {first}");
        }
    }
}

/// The minutes at which buckets of so many minutes begin, out of what the clock shows at each minute.
///
/// Up to an hour, one begins where another multiple is reached, or the same one is shown again. A longer one begins the
/// first time that its multiple is reached.
fn starts(minutes: &[Timestamp], shown: &[i64], length_minutes: i64) -> Vec<Timestamp> {
    let length_micros = length_minutes * 60_000_000;
    let mut latest = i64::MIN;
    let mut starts = Vec::new();
    for (n, (minute, shown)) in minutes.iter().zip(shown).enumerate() {
        let reached = shown.div_euclid(length_micros);
        let is_start = if length_minutes > 60 {
            reached > latest
        } else {
            reached != latest || shown.rem_euclid(length_micros) == 0
        };
        if n > 0 && is_start {
            starts.push(*minute);
        }
        latest = if length_minutes > 60 { latest.max(reached) } else { reached };
    }
    starts
}

#[tokio::test]
async fn buckets_begin_by_the_clock() {
    const DAY_MICROS: i64 = 86_400_000_000;
    let reference = Reference { database: TestDatabase::create_empty().await };
    let mut dice = dice("buckets");
    for name in ZONES {
        let zone = Zone::named(name).unwrap();
        for (bucket, length_minutes) in [
            ("1m", 1),
            ("15m", 15),
            ("20m", 20),
            ("30m", 30),
            ("1h", 60),
            ("2h", 120),
            ("6h", 360),
            ("1d", 1_440),
        ] {
            for _ in 0..4 {
                let start = moment(&mut dice, &zone);
                let end = start.plus_micros(dice.random_range(1..100 * 60_000_000));
                let edges = edges(Bucket::named(bucket).unwrap(), &zone, start, end, 10_000).unwrap();
                let (first, last) = (edges[0], edges[edges.len() - 1]);
                let what = format!("{bucket} {name} {start} {end}");
                assert!(
                    first <= start && start < edges[1] && edges[edges.len() - 2] < end && end <= last,
                    "{what}"
                );
                let minutes: Vec<Timestamp> = (first.micros() - DAY_MICROS..=last.micros())
                    .step_by(60_000_000)
                    .map(Timestamp::from_micros)
                    .collect();
                let shown = reference.shown(name, &minutes).await;
                let mut expected = starts(&minutes, &shown, length_minutes);
                expected.retain(|start| *start >= first);
                assert_eq!(edges, expected, "{what}");
            }
        }
    }
}
