//! What became of each key's requests, for `/metrics`.
//!
//! The recorder keeps a series for ever, so these are not the recorder's: those of a key that was revoked go after some
//! minutes, or whoever makes many keys would fill Prometheus with the names of old ones.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http::server::resource::Resource;
use crate::metrics::{self, HTTP_KEY_REFUSALS, HTTP_KEY_REQUESTS};

/// How long the series of a key stay that holds no more: until the last of them was scraped several times.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Most names that have series while some of them hold no more; of those, the ones that ended last. As many as may hold at a
/// time.
const NAMES_MAX: usize = 1_000;

/// What became of the requests of one key.
#[derive(Debug, Default)]
pub(super) struct Series {
    allowed: AtomicU64,
    limited: AtomicU64,
    forbidden: AtomicU64,
    /// In the order of [`Resource::ALL`].
    refused: [AtomicU64; 3],
}

impl Series {
    /// A request passed.
    pub(super) fn allowed(&self) {
        self.allowed.fetch_add(1, Ordering::Relaxed);
    }

    /// Its rate is used up.
    pub(super) fn limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// It lacks a scope.
    pub(super) fn forbidden(&self) {
        self.forbidden.fetch_add(1, Ordering::Relaxed);
    }

    /// It holds its share of a resource.
    pub(super) fn refused(&self, resource: Resource) {
        self.refused[resource as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The series of all keys by name: one that was made again under an old name goes on where the old one ended.
#[derive(Debug, Default)]
pub(super) struct KeySeries(Mutex<BTreeMap<String, Named>>);

#[derive(Debug, Default)]
struct Named {
    series: Arc<Series>,
    /// Since when no key of this name holds.
    ended: Option<Instant>,
}

impl KeySeries {
    /// The series of a key that holds.
    pub(super) fn of(&self, name: &str) -> Arc<Series> {
        let mut all = self.0.lock();
        let named = all.entry(name.to_owned()).or_default();
        named.ended = None;
        Arc::clone(&named.series)
    }

    /// Notes whose keys hold; the others' series go some time after.
    pub(super) fn keep<'n>(&self, holding: impl Iterator<Item = &'n str>, now: Instant) {
        let holding: HashSet<&str> = holding.collect();
        let mut all = self.0.lock();
        for (name, named) in &mut *all {
            if !holding.contains(name.as_str()) {
                named.ended.get_or_insert(now);
            }
        }
        drop_old(&mut all, now);
    }

    /// Everything in Prometheus' text format; nothing where there is no key.
    pub(super) fn render(&self, now: Instant) -> String {
        let mut all = self.0.lock();
        drop_old(&mut all, now);
        let mut text = String::new();
        if all.is_empty() {
            return text;
        }
        head(&mut text, HTTP_KEY_REQUESTS);
        for (name, Named { series, .. }) in &*all {
            let outcomes = [
                ("allowed", &series.allowed),
                ("limited", &series.limited),
                ("forbidden", &series.forbidden),
            ];
            for (outcome, count) in outcomes {
                line(&mut text, HTTP_KEY_REQUESTS, name, ("outcome", outcome), count);
            }
        }
        head(&mut text, HTTP_KEY_REFUSALS);
        for (name, Named { series, .. }) in &*all {
            for (resource, count) in Resource::ALL.iter().zip(&series.refused) {
                line(&mut text, HTTP_KEY_REFUSALS, name, ("resource", resource.as_str()), count);
            }
        }
        text
    }
}

fn drop_old(all: &mut BTreeMap<String, Named>, now: Instant) {
    all.retain(|_, named| named.ended.is_none_or(|ended| now.duration_since(ended) < KEPT_FOR));
    let too_many = all.len().saturating_sub(NAMES_MAX);
    if too_many > 0 {
        let mut ended: Vec<_> =
            all.iter().filter_map(|(name, named)| Some((named.ended?, name.clone()))).collect();
        ended.sort_unstable();
        for (_, name) in ended.iter().take(too_many) {
            all.remove(name);
        }
    }
}

fn head(text: &mut String, name: &str) {
    let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} counter", metrics::help(name));
}

/// A key's name has nothing that would have to be escaped.
fn line(text: &mut String, metric: &str, key: &str, (label, value): (&str, &str), count: &AtomicU64) {
    let count = count.load(Ordering::Relaxed);
    let _ = writeln!(text, "{metric}{{key=\"{key}\",{label}=\"{value}\"}} {count}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_revoked_key_go_after_a_while() {
        let (all, start) = (KeySeries::default(), Instant::now());
        assert_eq!(all.render(start), "");
        all.of("stays").allowed();
        all.of("goes").refused(Resource::Export);
        all.keep(["stays"].into_iter(), start);
        let soon = all.render(start + KEPT_FOR / 2);
        for line in [
            "# TYPE sensorpipe_http_key_requests_total counter",
            r#"sensorpipe_http_key_requests_total{key="stays",outcome="allowed"} 1"#,
            r#"sensorpipe_http_key_requests_total{key="goes",outcome="allowed"} 0"#,
            r#"sensorpipe_http_key_refusals_total{key="goes",resource="export"} 1"#,
        ] {
            assert!(soon.lines().any(|said| said == line), "{line} in {soon}");
        }
        let later = all.render(start + KEPT_FOR);
        assert!(later.contains("stays") && !later.contains("goes"), "{later}");
    }

    #[test]
    fn a_name_that_is_used_again_goes_on_counting() {
        let (all, start) = (KeySeries::default(), Instant::now());
        all.of("gateway").allowed();
        all.keep([].into_iter(), start);
        all.of("gateway").allowed();
        all.keep(["gateway"].into_iter(), start);
        let text = all.render(start + KEPT_FOR * 2);
        assert!(text.contains(r#"{key="gateway",outcome="allowed"} 2"#), "{text}");
    }

    #[test]
    fn there_are_no_more_names_than_keys_may_hold() {
        let (all, start) = (KeySeries::default(), Instant::now());
        let stays = |at| all.keep(["stays"].into_iter(), start + Duration::from_secs(at));
        for (prefix, at) in [("first", 0), ("second", 1), ("third", 1)] {
            (0..NAMES_MAX - 1).for_each(|n| all.of(&format!("{prefix}-{n}")).allowed());
            all.of("stays").allowed();
            stays(at);
        }
        let names: Vec<String> = all.0.lock().keys().cloned().collect();
        assert_eq!(names.len(), NAMES_MAX);
        assert!(
            names.iter().any(|name| name == "stays") && !names.iter().any(|name| name.starts_with("first"))
        );
    }
}
