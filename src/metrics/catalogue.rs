//! What each metric is, as data: the recorder is set up from it, and `docs/metrics.md` is written from it.

use super::{
    ASSIGNED_PARTITIONS, AUDIT_DIFFERENCES, AUDIT_ENDED_AT, AUDIT_OPEN_DIFFERENCES, AUDIT_READINGS,
    AUDIT_ROUNDS, AUDIT_SECONDS, AUDIT_UNACCOUNTED, AUDITED_UP_TO, BATCH_BYTES, BATCH_PHASE_SECONDS,
    BATCH_READINGS, BATCHES, BLOCKERS_ENDED, BUILD_INFO, CHUNKS_DROPPED, COMPONENT_UP, DAYS_KEPT,
    DAYS_REOPENED, DEAD_LETTER_BOUND_RATIO, DEAD_LETTER_OLDEST, DEAD_LETTER_REMOVALS, DEAD_LETTERS,
    DEAD_LETTERS_MIRRORED, DEAD_LETTERS_NOT_KEPT, DEAD_LETTERS_WAITING, EVENT_LAG_SECONDS, EXPORTS, FENCES,
    FK_CHECK_PER_BATCH, GAPS, HTTP_KEY_REFUSALS, HTTP_KEY_REQUESTS, HTTP_REQUESTS, HTTP_SECONDS,
    HTTP_UNAUTHORIZED, IN_FLIGHT_READINGS, JOB_ROUNDS, LAG_RECORDS, LAG_SECONDS, LOG_CHECKS,
    POOL_CONNECTIONS, POOL_MAX_CONNECTIONS, POOL_TIMEOUTS, POOL_WAITING, PRODUCER_QUEUE_BYTES,
    PRODUCER_QUEUE_MAX_BYTES, PRODUCER_QUEUE_MAX_RECORDS, PRODUCER_QUEUE_RECORDS, PRODUCERS_RECREATED,
    PUBLISH_FAILURES, PUBLISH_SECONDS, PUBLISHED_READINGS, READINGS, READY, REBALANCES, SENSOR_DELETIONS,
    SENSOR_READINGS_DELETED, SENSOR_RECORDS, SENSORS_RESTORED, STALLED_PARTITIONS, STORED_OFFSET,
    UNSAFE_SETTINGS, WRITE_RETRIES, WRITE_SECONDS,
};

use crate::{audit::Difference, durability};

/// A metric as it is described.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As Prometheus knows it, without the suffixes of a histogram.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// What it counts: readings, seconds, bytes.
    pub unit: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Its labels in the order of the document.
    pub labels: &'static [Label],
    /// Who serves it.
    pub served: Served,
}

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Counts what is at most each of these.
    Histogram(&'static [f64]),
}

/// Whose `/metrics` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// An api's.
    Api,
    /// A worker's.
    Worker,
    /// Both of these.
    Both,
    /// That of `audit --watch`, which has those of both besides.
    Audit,
    /// That of an `all` which audits.
    All,
}

impl Served {
    /// Whether this includes one of the roles.
    pub fn overlaps(self, roles: Self) -> bool {
        self == roles
            || self == Self::Both
            || roles == Self::All
            || (roles == Self::Both && self != Self::Audit)
    }
}

/// A label and what it may be.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// What a label may be. All of them are few.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// One of these from the start, and others as they come.
    AtLeast(&'static [&'static str], &'static str),
    /// As they come: what they are, and why they are few.
    Named(&'static str),
}

const SECONDS: Kind =
    Kind::Histogram(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
/// Down to what a batch of a few readings takes.
const PHASE_SECONDS: Kind =
    Kind::Histogram(&[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]);
const ROUND_SECONDS: Kind = Kind::Histogram(&[0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0]);
const READINGS_OF_A_BATCH: Kind =
    Kind::Histogram(&[1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0]);
const BYTES_OF_A_BATCH: Kind = Kind::Histogram(&[100.0, 1e3, 1e4, 1e5, 5e5, 1e6, 2e6, 4e6, 8e6, 16e6, 32e6]);

const PARTITION: Label = Label { name: "partition", values: Values::Named("the partitions of the topic") };
/// Why partitions are stalled, and last the two that stall none.
const ALL_GAPS: &[&str] = &[
    "topic_recreated",
    "offset_past_end",
    "records_expired",
    "log_diverged",
    "not_authorized",
    "unsupported_codec",
    "corrupt_records",
    "fetch_failed",
    "other_cluster",
    "other_database",
];
const GAP: Label = one_of("gap", ALL_GAPS.split_at(ALL_GAPS.len() - 2).0);
const FOUND_GAP: Label = one_of("gap", ALL_GAPS);
const REASON: Label = one_of(
    "reason",
    &[
        "malformed_json",
        "wrong_shape",
        "nul_byte",
        "empty_record",
        "invalid_timestamp",
        "time_out_of_window",
        "invalid_value",
        "unknown_sensor",
        "too_large",
        "rejected_by_database",
    ],
);
#[rustfmt::skip]
const JOB_NAME: Label = one_of("job_name", &[
    "checkpoints", "dead_letter_count", "dead_letter_expiry", "dead_letter_forwarding", "retention", "rollups",
    "sensor_deletion", "sensor_topic",
]);
const POOL: Label = one_of("pool", &["primary", "reads"]);
const ROUTE: Label =
    Label { name: "route", values: Values::Named("the template of a route, never an address; `unmatched`") };
const KEY: Label =
    named("key", "the names of the API keys, at most 1,000; of one that was revoked, for five minutes");
const METHODS: &str = "`GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`, `OPTIONS`, `other`";

const fn one_of(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::OneOf(values) }
}

const fn named(name: &'static str, what: &'static str) -> Label {
    Label { name, values: Values::Named(what) }
}

/// A function that makes the metrics of those who serve them.
macro_rules! served_by {
    ($function:ident, $served:ident) => {
        const fn $function(
            name: &'static str,
            kind: Kind,
            unit: &'static str,
            labels: &'static [Label],
            help: &'static str,
        ) -> Metric {
            Metric { name, kind, unit, help, labels, served: Served::$served }
        }
    };
}

served_by!(of_worker, Worker);
served_by!(of_api, Api);
served_by!(of_both, Both);
served_by!(of_audit, Audit);

const COUNTER: Kind = Kind::Counter;
const GAUGE: Kind = Kind::Gauge;

/// Every metric of ours, in the order of the document; those of the process itself are another crate's.
#[rustfmt::skip]
pub const CATALOGUE: &[Metric] = &[
    // What becomes of the readings.
    of_worker(READINGS, COUNTER, "readings", &[one_of("fate", &["stored", "duplicate", "dead_lettered"])],
        "Readings by outcome: each is stored, a duplicate or dead-lettered when its batch commits."),
    of_worker(DEAD_LETTERS, COUNTER, "readings", &[REASON],
        "Readings set aside because they can never be stored, by reason."),
    of_worker(DEAD_LETTERS_NOT_KEPT, COUNTER, "readings", &[REASON],
        "Of these, readings beyond DEAD_LETTER_MAX or 1 GiB: counted, not kept; Kafka's log has them."),
    of_worker(DEAD_LETTER_BOUND_RATIO, GAUGE, "ratio", &[],
        "How full dead_letters is, by number or bytes, whichever is more; from 1 on dead letters are counted, not kept."),
    of_worker(DEAD_LETTERS_WAITING, GAUGE, "dead letters", &[REASON],
        "Dead letters that are neither replayed nor discarded; every worker reports the same, up to 1,000,000."),
    of_worker(DEAD_LETTER_OLDEST, GAUGE, "seconds", &[],
        "Time since the oldest dead letter was set aside; 0 where there is none."),
    of_both(DEAD_LETTER_REMOVALS, COUNTER, "readings",
        &[one_of("outcome", &["replayed", "discarded", "expired"])],
        "Readings whose dead letters this process has deleted, by outcome."),
    of_worker(DEAD_LETTERS_MIRRORED, COUNTER, "dead letters", &[],
        "Dead letters that DEAD_LETTER_TOPIC has acknowledged to this process."),
    of_worker(IN_FLIGHT_READINGS, GAUGE, "readings", &[],
        "Readings taken out of Kafka and not committed yet; a crash reads them again."),
    // How far behind.
    of_worker(LAG_RECORDS, GAUGE, "records", &[PARTITION],
        "Records between the stored offset and the end of the log; 0 where another worker has the partition."),
    of_worker(LAG_SECONDS, GAUGE, "seconds", &[PARTITION],
        "Age of the first record that is not stored, by its Kafka timestamp; 0 where all are."),
    of_worker(EVENT_LAG_SECONDS, GAUGE, "seconds", &[PARTITION],
        "Age of the first reading that is not stored, by its own time; 0 where all are."),
    of_worker(STORED_OFFSET, GAUGE, "offset", &[PARTITION],
        "First offset that is not stored, as last read by this worker."),
    // Who has which partition.
    of_worker(ASSIGNED_PARTITIONS, GAUGE, "partitions", &[], "Partitions that this process consumes."),
    of_worker(STALLED_PARTITIONS, GAUGE, "partitions", &[GAP],
        "Stalled partitions assigned to this worker, by reason; docs/operations.md says what to do."),
    of_worker(REBALANCES, COUNTER, "events", &[one_of("event", &["assigned", "revoked", "lost"])],
        "Rebalance events of the consumer group."),
    of_worker(FENCES, COUNTER, "partitions", &[],
        "Partitions whose stored offset another consumer had moved when this one wrote; nothing of the batch was written."),
    of_worker(GAPS, COUNTER, "partitions", &[FOUND_GAP],
        "Times that a partition was found stalled, by reason; `other_cluster` stalls nothing, and by `other_database` a worker is out of the group."),
    of_worker(LOG_CHECKS, COUNTER, "partitions", &[one_of("outcome", &["same", "diverged", "unverifiable"])],
        "Times that a log was held against the last record that was taken of it; `unverifiable`: the record has expired."),
    // Batches.
    of_worker(BATCHES, COUNTER, "batches", &[], "Batches committed."),
    of_worker(BATCH_READINGS, READINGS_OF_A_BATCH, "readings", &[], "Readings in a committed batch."),
    of_worker(BATCH_BYTES, BYTES_OF_A_BATCH, "bytes", &[], "Bytes of keys and values in a committed batch."),
    of_worker(BATCH_PHASE_SECONDS, PHASE_SECONDS, "seconds",
        &[one_of("phase", &["fetch", "decode", "wait", "prepare", "copy", "commit"])],
        "What a batch's time went to: taking its records, decoding them, waiting for company and the writer, \
         then offsets and sensors, the readings, and COMMIT."),
    of_worker(WRITE_SECONDS, SECONDS, "seconds", &[], "Time of a batch's transaction."),
    of_worker(WRITE_RETRIES, COUNTER, "attempts",
        &[Label { name: "sqlstate_class", values: Values::AtLeast(
            &["none", "08", "23", "25", "40", "42", "53", "55", "57"],
            "any other class of Postgres' SQLSTATE; `none` where the server gave no answer",
        ) }],
        "Batch writes that failed and were retried, by class of SQLSTATE."),
    of_worker(BLOCKERS_ENDED, COUNTER, "backends", &[],
        "Backends of frozen sensorpipe processes terminated because they blocked a writer."),
    of_worker(FK_CHECK_PER_BATCH, GAUGE, "boolean", &[],
        "1 where foreign keys are checked once per batch, 0 where row by row, or nothing was written yet."),
    // What is kept and what goes.
    of_worker(DAYS_REOPENED, COUNTER, "days", &[],
        "Stored daily statistics invalidated because readings of their day were written."),
    of_both(DAYS_KEPT, COUNTER, "days", &[one_of("outcome", &["kept", "busy", "failed"])],
        "Days rolled up into daily statistics, by outcome; retention does not drop the readings of one that `failed`."),
    of_worker(CHUNKS_DROPPED, COUNTER, "chunks", &[], "Chunks of readings dropped by retention."),
    of_worker(SENSOR_DELETIONS, GAUGE, "sensors", &[],
        "Deleted sensors whose readings are being deleted; every worker reports the same."),
    of_worker(SENSOR_READINGS_DELETED, COUNTER, "readings", &[],
        "Readings of deleted sensors that this worker has deleted."),
    of_worker(SENSOR_RECORDS, COUNTER, "records", &[],
        "Records of sensors that this worker has published to their topic."),
    of_worker(SENSORS_RESTORED, COUNTER, "sensors", &[],
        "Sensors that the database had lost, as by a failover, and this worker has made again with their ids."),
    of_worker(JOB_ROUNDS, COUNTER, "rounds", &[JOB_NAME, one_of("outcome", &["succeeded", "failed", "panicked"])],
        "Rounds of a worker's background jobs, by outcome; the job continues after each."),
    // The log held against the tables.
    of_audit(AUDIT_ROUNDS, COUNTER, "rounds", &[one_of("outcome", &["clean", "differences", "undetermined", "failed"])],
        "Rounds of the audit, by outcome; `undetermined`: a partition could not be read."),
    of_audit(AUDIT_DIFFERENCES, COUNTER, "differences", &[one_of("kind", &Difference::KINDS)],
        "Differences found by rounds; what a round finds is not looked at by the next one."),
    of_audit(AUDIT_OPEN_DIFFERENCES, GAUGE, "partitions", &[one_of("kind", &Difference::KINDS)],
        "Partitions with a difference that is not resolved, by kind; the table as a whole counts as one."),
    of_audit(AUDITED_UP_TO, GAUGE, "seconds", &[],
        "All readings that were stored by then are accounted for, in Unix time; 0 before the first clean round."),
    of_audit(AUDIT_UNACCOUNTED, COUNTER, "readings", &[],
        "Readings of the log that are neither stored nor dead-lettered."),
    of_audit(AUDIT_READINGS, COUNTER, "readings", &[], "Readings of the log that were looked up."),
    of_audit(AUDIT_SECONDS, ROUND_SECONDS, "seconds", &[], "Time of a round."),
    of_audit(AUDIT_ENDED_AT, GAUGE, "seconds", &[], "When the last whole round ended, in Unix time."),
    // HTTP.
    of_both(HTTP_REQUESTS, COUNTER, "requests",
        &[named("method", METHODS), ROUTE, named("status", "the status")], "HTTP requests answered."),
    of_both(HTTP_SECONDS, SECONDS, "seconds", &[ROUTE], "Time until the head of an HTTP answer."),
    of_api(HTTP_KEY_REQUESTS, COUNTER, "requests",
        &[KEY, one_of("outcome", &["allowed", "limited", "forbidden"])],
        "Requests by API key and outcome."),
    of_api(HTTP_KEY_REFUSALS, COUNTER, "requests", &[KEY, one_of("resource", &["query", "export", "event_stream"])],
        "Requests refused with 429 because their key held its KEY_SHARE_PERCENT of a resource."),
    of_both(HTTP_UNAUTHORIZED, COUNTER, "requests", &[], "Requests turned away because they had no valid key."),
    of_api(EXPORTS, COUNTER, "exports", &[one_of("outcome", &["complete", "client_gone", "cut_off"])],
        "Exports of readings that have ended, by outcome."),
    // Into Kafka.
    of_api(PUBLISHED_READINGS, COUNTER, "readings", &[], "Readings that Kafka acknowledged."),
    of_api(PUBLISH_SECONDS, SECONDS, "seconds", &[],
        "Time from handing a record to the producer to Kafka's acknowledgement."),
    of_api(PUBLISH_FAILURES, COUNTER, "records",
        &[one_of("cause", &["queue_full", "down", "timed_out", "clock", "refused"])],
        "Records that Kafka did not acknowledge in time."),
    of_api(PRODUCERS_RECREATED, COUNTER, "clients", &[],
        "Kafka producers that were replaced after a fatal error, such as a log that was cut."),
    of_api(PRODUCER_QUEUE_RECORDS, GAUGE, "records", &[], "Records that wait for Kafka's acknowledgement."),
    of_api(PRODUCER_QUEUE_BYTES, GAUGE, "bytes", &[], "Bytes of the records that wait."),
    of_api(PRODUCER_QUEUE_MAX_RECORDS, GAUGE, "records", &[], "Most records that may wait; one more is refused."),
    of_api(PRODUCER_QUEUE_MAX_BYTES, GAUGE, "bytes", &[], "Most bytes that may wait."),
    // Postgres.
    of_api(POOL_CONNECTIONS, GAUGE, "connections", &[POOL, one_of("state", &["used", "idle"])],
        "Connections of a pool, by what they do."),
    of_api(POOL_MAX_CONNECTIONS, GAUGE, "connections", &[POOL], "Most connections that a pool may have."),
    of_api(POOL_WAITING, GAUGE, "queries", &[POOL], "Queries that wait for a connection."),
    of_api(POOL_TIMEOUTS, COUNTER, "queries", &[POOL], "Queries that got no connection in time."),
    // The process.
    of_both(READY, GAUGE, "boolean", &[], "1 where /readyz answers 200."),
    of_both(COMPONENT_UP, GAUGE, "boolean",
        &[named("component", "what the process works with, as `/readyz` names it")],
        "1 where a component of /readyz is up."),
    of_both(UNSAFE_SETTINGS, GAUGE, "boolean", &[one_of("setting", &durability::SETTINGS)],
        "1 where a setting of Kafka or Postgres may lose what was acknowledged; 0 where it is safe, not known, or cannot be otherwise, as with one broker."),
    of_both(BUILD_INFO, GAUGE, "1",
        &[named("version", "that of the package"), named("commit", "that of the source, or `unknown`")],
        "What was built."),
];

/// What a metric says; empty for a name that is not in the catalogue.
pub fn help(name: &str) -> &'static str {
    CATALOGUE.iter().find(|metric| metric.name == name).map_or("", |metric| metric.help)
}

impl Metric {
    /// Every set of labels that is known beforehand; none where one of them is not.
    pub(super) fn known_labels(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        let mut sets = vec![vec![]];
        for label in self.labels {
            let values = match label.values {
                Values::OneOf(values) | Values::AtLeast(values, _) => values,
                Values::Named(_) => return vec![],
            };
            let with = |set: &Vec<_>, value| {
                let mut set = set.clone();
                set.push((label.name, value));
                set
            };
            sets = sets.iter().flat_map(|set| values.iter().map(move |&value| with(set, value))).collect();
        }
        sets
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::reading::Reason;

    #[test]
    fn every_name_is_described_once() {
        let source = include_str!("../metrics.rs");
        let named: Vec<&str> = source.split('"').filter(|word| word.starts_with("sensorpipe_")).collect();
        let described: Vec<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(described.len(), described.iter().collect::<BTreeSet<_>>().len(), "described twice");
        assert_eq!(named.iter().collect::<BTreeSet<_>>(), described.iter().collect::<BTreeSet<_>>());
    }

    #[test]
    fn names_end_as_prometheus_wants_it() {
        for metric in CATALOGUE {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            let has_seconds = metric.name.ends_with("_seconds");
            assert_eq!(has_seconds, metric.unit == "seconds", "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn reasons_are_those_of_a_reading() {
        let metric = CATALOGUE.iter().find(|metric| metric.name == DEAD_LETTERS).unwrap();
        let Values::OneOf(reasons) = metric.labels[0].values else { panic!("an open label") };
        assert_eq!(reasons, Reason::ALL.map(Reason::as_str));
    }

    #[test]
    fn labels_that_are_known_are_combined() {
        let metric = CATALOGUE.iter().find(|metric| metric.name == POOL_CONNECTIONS).unwrap();
        assert_eq!(metric.known_labels().len(), 4);
        assert_eq!(metric.known_labels()[1], [("pool", "primary"), ("state", "idle")]);
    }
}
