//! Every metric: its name, help, unit and buckets. Recorded per batch or request, never per reading.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Readings by fate; labels: `fate` = `stored`, `duplicate` or `dead_lettered`.
pub const READINGS: &str = "sensorpipe_readings_total";
/// Dead letters; labels: `reason`.
pub const DEAD_LETTERS: &str = "sensorpipe_dead_letters_total";
/// Dead letters that are there; labels: `reason`. Each worker tells the same.
pub const DEAD_LETTERS_WAITING: &str = "sensorpipe_dead_letters";
/// How long ago the oldest of them was set aside; 0 where there is none.
pub const DEAD_LETTER_OLDEST: &str = "sensorpipe_dead_letter_oldest_seconds";
/// Dead letters that this process has deleted; labels: `outcome` = `replayed`, `discarded` or `expired`.
pub const DEAD_LETTER_REMOVALS: &str = "sensorpipe_dead_letter_removals_total";
/// Dead letters that `DEAD_LETTER_TOPIC` has acknowledged to this process.
pub const DEAD_LETTERS_MIRRORED: &str = "sensorpipe_dead_letters_mirrored_total";
/// Transactions that committed a batch.
pub const BATCHES: &str = "sensorpipe_batches_total";
/// Readings in a batch.
pub const BATCH_READINGS: &str = "sensorpipe_batch_readings";
/// Seconds that a batch's transaction took, from BEGIN to COMMIT.
pub const WRITE_SECONDS: &str = "sensorpipe_write_duration_seconds";
/// Attempts to write a batch that failed and were tried again; labels: `sqlstate_class`.
pub const WRITE_RETRIES: &str = "sensorpipe_write_retries_total";
/// Partitions whose stored offset was not the one expected: another consumer had moved it.
pub const FENCES: &str = "sensorpipe_fences_total";
/// Rebalances; labels: `event` = `assigned`, `revoked` or `lost`.
pub const REBALANCES: &str = "sensorpipe_rebalances_total";
/// Partitions that this process owns.
pub const ASSIGNED_PARTITIONS: &str = "sensorpipe_assigned_partitions";
/// Records between the stored offset and the log's end; labels: `partition`.
pub const LAG_RECORDS: &str = "sensorpipe_lag_records";
/// 1 where a batch's foreign keys are checked at once, 0 where the database checks them row by row.
pub const FK_CHECK_PER_BATCH: &str = "sensorpipe_fk_check_per_batch";
/// Frozen sensorpipe backends ended because they held locks that a writer needed.
pub const BLOCKERS_ENDED: &str = "sensorpipe_blockers_ended_total";
/// Contradictions found between a log and its stored offset; labels: `gap` = `topic_recreated`, `offset_past_end`,
/// `records_expired`, or `other_cluster`, for which nothing stands still.
pub const GAPS: &str = "sensorpipe_gaps_total";
/// Partitions of this process that stand still now until an operator says how to go on; labels: `gap`.
pub const STALLED_PARTITIONS: &str = "sensorpipe_stalled_partitions";

/// Kept daily statistics that were forgotten because readings of their day were written.
pub const DAYS_REOPENED: &str = "sensorpipe_days_reopened_total";
/// Days whose statistics were to be kept; labels: `outcome` = `kept`, `busy` (their readings were changing) or `failed`.
pub const DAYS_KEPT: &str = "sensorpipe_days_kept_total";
/// Chunks of readings that retention has dropped.
pub const CHUNKS_DROPPED: &str = "sensorpipe_chunks_dropped_total";

/// Rounds of `audit --watch`; labels: `outcome` = `clean`, `differences` or `failed`.
pub const AUDIT_ROUNDS: &str = "sensorpipe_audit_rounds_total";
/// Differences that rounds of `audit --watch` found; labels: `kind`. One that stays is counted in each round.
pub const AUDIT_DIFFERENCES: &str = "sensorpipe_audit_differences_total";
/// Readings found in neither table.
pub const AUDIT_UNACCOUNTED: &str = "sensorpipe_audit_unaccounted_readings_total";
/// Readings that `audit --watch` read from the log and looked up.
pub const AUDIT_READINGS: &str = "sensorpipe_audit_readings_total";
/// Seconds that a round of `audit --watch` took.
pub const AUDIT_SECONDS: &str = "sensorpipe_audit_duration_seconds";
/// When the last round ended that was not cut short, in Unix seconds.
pub const AUDIT_ENDED_AT: &str = "sensorpipe_audit_last_end_timestamp_seconds";

/// HTTP requests; labels: `method`, `route`, `status`.
pub const HTTP_REQUESTS: &str = "sensorpipe_http_requests_total";
/// Seconds until the answer's head; labels: `route`.
pub const HTTP_SECONDS: &str = "sensorpipe_http_request_duration_seconds";
/// Requests that showed a key; labels: `key` = its name, `outcome` = `allowed`, `limited` or `forbidden`.
pub const HTTP_KEY_REQUESTS: &str = "sensorpipe_http_key_requests_total";
/// Requests turned away because they showed no key that holds.
pub const HTTP_UNAUTHORIZED: &str = "sensorpipe_http_unauthorized_total";
/// Readings that Kafka has acknowledged to the api.
pub const PUBLISHED_READINGS: &str = "sensorpipe_published_readings_total";
/// Records that Kafka has not acknowledged in time; labels: `cause` = `queue_full`, `down`, `timed_out` or
/// `refused`.
pub const PUBLISH_FAILURES: &str = "sensorpipe_publish_failures_total";
/// Exports of readings that have ended; labels: `outcome` = `complete`, `client_gone` or `cut_off`.
pub const EXPORTS: &str = "sensorpipe_exports_total";

/// Installs the recorder; the handle renders what `/metrics` answers.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let readings = [1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Full(BATCH_READINGS.to_owned()), &readings)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_gauge!(
        FK_CHECK_PER_BATCH,
        "1 where foreign keys are checked once per batch, 0 where row by row."
    );
    describe_counter!(READINGS, Unit::Count, "Readings by the fate they met.");
    describe_counter!(
        DEAD_LETTERS,
        Unit::Count,
        "Readings set aside because they can never be stored, by reason."
    );
    describe_gauge!(
        DEAD_LETTERS_WAITING,
        Unit::Count,
        "Dead letters that wait to be worked through, by reason; every worker tells the same, up to 1000000."
    );
    describe_gauge!(
        DEAD_LETTER_OLDEST,
        Unit::Seconds,
        "Time since the oldest dead letter was set aside; 0 where there is none."
    );
    describe_counter!(
        DEAD_LETTER_REMOVALS,
        Unit::Count,
        "Dead letters replayed, discarded or expired by this process."
    );
    describe_counter!(
        DEAD_LETTERS_MIRRORED,
        Unit::Count,
        "Dead letters that DEAD_LETTER_TOPIC acknowledged."
    );
    describe_counter!(BATCHES, Unit::Count, "Batches committed.");
    describe_histogram!(BATCH_READINGS, Unit::Count, "Readings in a committed batch.");
    describe_histogram!(WRITE_SECONDS, Unit::Seconds, "Time of a batch's transaction.");
    describe_counter!(
        WRITE_RETRIES,
        Unit::Count,
        "Batch writes that failed and were tried again, by class of SQLSTATE."
    );
    describe_counter!(FENCES, Unit::Count, "Partitions found moved by another consumer when writing.");
    describe_counter!(REBALANCES, Unit::Count, "Rebalance events of the consumer group.");
    describe_gauge!(ASSIGNED_PARTITIONS, Unit::Count, "Partitions that this process owns.");
    describe_gauge!(LAG_RECORDS, Unit::Count, "Records between the stored offset and the end of the log.");
    describe_counter!(
        BLOCKERS_ENDED,
        Unit::Count,
        "Frozen sensorpipe backends ended because they blocked a writer."
    );
    describe_counter!(GAPS, Unit::Count, "Contradictions found between the log and the stored offset.");
    describe_gauge!(
        STALLED_PARTITIONS,
        Unit::Count,
        "Partitions that stand still until an operator says how to go on, by gap."
    );
    describe_counter!(
        DAYS_REOPENED,
        Unit::Count,
        "Kept daily statistics forgotten because readings of their day were written."
    );
    describe_counter!(DAYS_KEPT, Unit::Count, "Days whose statistics were to be kept, by outcome.");
    describe_counter!(CHUNKS_DROPPED, Unit::Count, "Chunks of readings dropped by retention.");
    describe_audit();
    describe_counter!(HTTP_REQUESTS, Unit::Count, "HTTP requests answered.");
    describe_histogram!(HTTP_SECONDS, Unit::Seconds, "Time until the head of an HTTP answer.");
    describe_counter!(HTTP_KEY_REQUESTS, Unit::Count, "Requests by API key and what became of them.");
    describe_counter!(HTTP_UNAUTHORIZED, Unit::Count, "Requests turned away for want of a key that holds.");
    describe_counter!(PUBLISHED_READINGS, Unit::Count, "Readings that Kafka acknowledged.");
    describe_counter!(EXPORTS, Unit::Count, "Exports of readings that have ended, by outcome.");
    describe_counter!(PUBLISH_FAILURES, Unit::Count, "Records that Kafka did not acknowledge in time.");
}

fn describe_audit() {
    describe_counter!(AUDIT_ROUNDS, Unit::Count, "Rounds of the audit, by outcome.");
    describe_counter!(AUDIT_DIFFERENCES, Unit::Count, "Differences found by the audit, by kind.");
    describe_counter!(
        AUDIT_UNACCOUNTED,
        Unit::Count,
        "Readings of the log that are neither stored nor dead-lettered."
    );
    describe_counter!(AUDIT_READINGS, Unit::Count, "Readings of the log that the audit looked up.");
    describe_histogram!(AUDIT_SECONDS, Unit::Seconds, "Time of a round of the audit.");
    describe_gauge!(AUDIT_ENDED_AT, Unit::Seconds, "When the audit's last whole round ended, in Unix time.");
}
