//! How statistics look in an answer.

use std::sync::Arc;

use chrono::{Datelike as _, FixedOffset, SecondsFormat};
use serde::{Serialize, Serializer, ser::SerializeMap};
use utoipa::ToSchema;

use crate::{
    buckets::{Fill, Zone, fill},
    reading::Timestamp,
    store::queries::{BucketStats, Measure},
};

/// One bucket: when, and the measures asked for.
#[derive(Debug)]
pub(super) struct BucketBody {
    start: String,
    end: String,
    values: Vec<Option<f64>>,
    measures: Arc<Measures>,
}

/// Measures and what the client calls them: `median` and `p50` are the same one.
pub(super) type Measures = Vec<(String, Measure)>;

impl Serialize for BucketBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2 + self.values.len()))?;
        map.serialize_entry("start", &self.start)?;
        map.serialize_entry("end", &self.end)?;
        for ((name, measure), value) in self.measures.iter().zip(&self.values) {
            match measure {
                // Counts stay far below 2^53.
                Measure::Count => map.serialize_entry(name, &value.map(|count| count as u64))?,
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

// Which measures a bucket has is asked for, so no type that is serialised has all of them: this one lists what there is,
// and a test holds it to `Measure`.
/// What a bucket looks like to those who read the document; a percentile has the name it was asked for by.
#[derive(ToSchema)]
#[schema(as = BucketBody, example = json!({"start": "2024-10-12T00:00:00+02:00", "end": "2024-10-13T00:00:00+02:00", "count": 3, "avg": 22.9, "min": 22.5, "max": 23.5, "p95": 23.42}))]
#[expect(dead_code, reason = "only describes the answer, which has the measures asked for")]
pub(super) struct BucketSchema {
    /// RFC 3339, by the clock of `timezone`.
    start: String,
    /// Where the next one begins.
    end: String,
    count: Option<u64>,
    avg: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    sum: Option<f64>,
    /// Of a sample; null of one reading.
    stddev: Option<f64>,
    first: Option<f64>,
    last: Option<f64>,
    median: Option<f64>,
    iqr: Option<f64>,
    p95: Option<f64>,
}

/// Makes the buckets of one series.
#[derive(Debug)]
pub(super) struct Series<'a> {
    pub(super) zone: &'a Zone,
    pub(super) edges: &'a [Timestamp],
    pub(super) measures: Arc<Measures>,
    pub(super) fill: Option<Fill>,
}

impl Series<'_> {
    /// The buckets that have readings, or all of them where gaps are filled.
    pub(super) fn buckets(&self, stats: &[BucketStats]) -> Vec<BucketBody> {
        match self.fill {
            None => stats.iter().map(|stats| self.bucket(stats.bucket, stats.values.clone())).collect(),
            Some(how) => self.filled(how, stats),
        }
    }

    fn filled(&self, how: Fill, measured: &[BucketStats]) -> Vec<BucketBody> {
        let starts = &self.edges[..self.edges.len() - 1];
        let mut is_gap = vec![true; starts.len()];
        let mut columns = vec![vec![None; starts.len()]; self.measures.len()];
        for found in measured {
            is_gap[found.bucket] = false;
            for (column, value) in columns.iter_mut().zip(&found.values) {
                column[found.bucket] = *value;
            }
        }
        for (column, (_, measure)) in columns.iter_mut().zip(self.measures.iter()) {
            match measure {
                // That nothing was measured is known.
                Measure::Count => column.iter_mut().for_each(|count| *count = count.or(Some(0.0))),
                _ => fill(how, starts, &is_gap, column),
            }
        }
        (0..starts.len())
            .map(|bucket| self.bucket(bucket, columns.iter().map(|column| column[bucket]).collect()))
            .collect()
    }

    fn bucket(&self, bucket: usize, values: Vec<Option<f64>>) -> BucketBody {
        BucketBody {
            start: in_zone(self.zone, self.edges[bucket]),
            end: in_zone(self.zone, self.edges[bucket + 1]),
            values,
            measures: Arc::clone(&self.measures),
        }
    }
}

/// RFC 3339 by the zone's clock; it writes offsets in minutes and years in four digits, so times from before there were
/// zones, and those that only a local clock has in the year 0 or 10000, stay in UTC.
pub(super) fn in_zone(zone: &Zone, time: Timestamp) -> String {
    let offset_seconds = zone.offset_seconds(time);
    let offset = FixedOffset::east_opt(offset_seconds).filter(|_| offset_seconds % 60 == 0);
    let local = time.to_datetime().zip(offset).map(|(time, offset)| time.with_timezone(&offset));
    match local.filter(|local| (1..=9_999).contains(&local.year())) {
        Some(local) => local.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_bucket_has_what_was_asked_for() {
        let hour = 3_600_000_000;
        let edges = [0, hour, 2 * hour].map(|micros| Timestamp::from_micros(1_774_742_400_000_000 + micros));
        let measures: Measures = ["count", "stddev", "p99.9"]
            .into_iter()
            .map(|name| (name.to_owned(), Measure::named(name).unwrap()))
            .collect();
        let stats = [BucketStats { sensor_id: 0, bucket: 1, values: vec![Some(1.0), None, Some(2.5)] }];
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let mut series = Series { zone: &berlin, edges: &edges, measures: Arc::new(measures), fill: None };
        let second = json!({"start": "2026-03-29T03:00:00+02:00", "end": "2026-03-29T04:00:00+02:00", "count": 1, "stddev": null, "p99.9": 2.5});
        assert_eq!(json!(series.buckets(&stats)), json!([second]));
        series.fill = Some(Fill::Previous);
        let first = json!({"start": "2026-03-29T01:00:00+01:00", "end": "2026-03-29T03:00:00+02:00", "count": 0, "stddev": null, "p99.9": null});
        assert_eq!(json!(series.buckets(&stats)), json!([first, second]));
    }

    #[test]
    fn the_document_lists_measures_as_a_bucket_has_them() {
        let schema = json!(<BucketSchema as utoipa::PartialSchema>::schema());
        let documented: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let names = documented.iter().filter(|name| !["start", "end"].contains(&name.as_str()));
        let measures: Measures =
            names.map(|&name| (name.clone(), Measure::named(name).expect(name))).collect();
        let values = vec![Some(1.0); measures.len()];
        let (start, end) = (String::new(), String::new());
        let bucket = json!(BucketBody { start, end, values, measures: Arc::new(measures) });
        assert_eq!(
            bucket.as_object().unwrap().keys().collect::<BTreeSet<_>>(),
            documented.into_iter().collect()
        );
    }

    #[test]
    fn a_zone_with_seconds_in_its_offset_is_not_rounded() {
        let then = Timestamp::from_micros(-3_000_000_000_000_000);
        assert_eq!(in_zone(&Zone::named("Europe/Berlin").unwrap(), then), "1874-12-07T18:40:00Z");
    }

    #[test]
    fn a_year_has_four_digits() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        for (zone, time, expected) in [
            ("Europe/Berlin", time("9999-12-31T22:59:59Z"), "9999-12-31T23:59:59+01:00"),
            ("Europe/Berlin", time("9999-12-31T23:00:00Z"), "9999-12-31T23:00:00Z"),
            ("Etc/GMT+5", time("0001-01-01T05:00:00Z"), "0001-01-01T00:00:00-05:00"),
            ("Etc/GMT+5", time("0001-01-01T04:59:59Z"), "0001-01-01T04:59:59Z"),
        ] {
            assert_eq!(in_zone(&Zone::named(zone).unwrap(), time), expected);
        }
    }
}
