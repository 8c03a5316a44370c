//! Every metric's name; [`catalogue`] has their help, labels and buckets. Recorded per batch or request, never per
//! reading.

mod catalogue;
mod document;
mod exposition;

pub use catalogue::{CATALOGUE, Kind, Label, Metric, Served, Values, help};
pub use document::document;
pub use exposition::{Exposition, install};

/// Readings by fate; labels: `fate` = `stored`, `duplicate` or `dead_lettered`.
pub const READINGS: &str = "sensorpipe_readings_total";
/// Dead letters; labels: `reason`.
pub const DEAD_LETTERS: &str = "sensorpipe_dead_letters_total";
/// Of these, those that came while `dead_letters` was at its bound: counted, not kept; labels: `reason`.
pub const DEAD_LETTERS_NOT_KEPT: &str = "sensorpipe_dead_letters_not_kept_total";
/// How full `dead_letters` is, by number or bytes, whichever is nearer to its bound; from 1 on none is kept.
pub const DEAD_LETTER_BOUND_RATIO: &str = "sensorpipe_dead_letter_bound_ratio";
/// Dead letters that are there; labels: `reason`. Each worker tells the same.
pub const DEAD_LETTERS_WAITING: &str = "sensorpipe_dead_letters";
/// How long ago the oldest of them was set aside; 0 where there is none.
pub const DEAD_LETTER_OLDEST: &str = "sensorpipe_dead_letter_oldest_seconds";
/// Dead letters that this process has deleted; labels: `outcome` = `replayed`, `discarded` or `expired`.
pub const DEAD_LETTER_REMOVALS: &str = "sensorpipe_dead_letter_removals_total";
/// Dead letters that `DEAD_LETTER_TOPIC` has acknowledged to this process.
pub const DEAD_LETTERS_MIRRORED: &str = "sensorpipe_dead_letters_mirrored_total";
/// Readings that were taken out of Kafka and are not committed yet.
pub const IN_FLIGHT_READINGS: &str = "sensorpipe_in_flight_readings";
/// Transactions that committed a batch.
pub const BATCHES: &str = "sensorpipe_batches_total";
/// Readings in a batch.
pub const BATCH_READINGS: &str = "sensorpipe_batch_readings";
/// Bytes of a batch's records.
pub const BATCH_BYTES: &str = "sensorpipe_batch_bytes";
/// Seconds that a batch spent; labels: `phase`.
pub const BATCH_PHASE_SECONDS: &str = "sensorpipe_batch_phase_duration_seconds";
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
/// Partitions that were assigned and are stalled; labels: `gap`.
pub const STALLED_PARTITIONS: &str = "sensorpipe_stalled_partitions";
/// Records between the stored offset and the log's end; labels: `partition`.
pub const LAG_RECORDS: &str = "sensorpipe_lag_records";
/// Age of the first record that is not stored; labels: `partition`.
pub const LAG_SECONDS: &str = "sensorpipe_lag_seconds";
/// Age, by its own time, of the first reading that is not stored; labels: `partition`.
pub const EVENT_LAG_SECONDS: &str = "sensorpipe_event_lag_seconds";
/// First offset that is not stored; labels: `partition`.
pub const STORED_OFFSET: &str = "sensorpipe_stored_offset";
/// 1 where a batch's foreign keys are checked at once, 0 where the database checks them row by row.
pub const FK_CHECK_PER_BATCH: &str = "sensorpipe_fk_check_per_batch";
/// Frozen sensorpipe backends ended because they held locks that a writer needed.
pub const BLOCKERS_ENDED: &str = "sensorpipe_blockers_ended_total";
/// Partitions that were found stalled; labels: `gap`, which may be
/// `other_cluster` or `other_database`, for which nothing is stalled.
pub const GAPS: &str = "sensorpipe_gaps_total";
/// Times that a log was held against the last record that was taken of it; labels: `outcome` = `same`, `diverged` or
/// `unverifiable` (the record has expired).
pub const LOG_CHECKS: &str = "sensorpipe_log_checks_total";

/// Kept daily statistics that were forgotten because readings of their day were written.
pub const DAYS_REOPENED: &str = "sensorpipe_daily_stats_reopened_total";
/// Days whose statistics were to be kept; labels: `outcome` = `kept`, `busy` (their readings were changing) or `failed`.
pub const DAYS_KEPT: &str = "sensorpipe_daily_stats_kept_total";
/// Chunks of readings that retention has dropped.
pub const CHUNKS_DROPPED: &str = "sensorpipe_chunks_dropped_total";
/// Deleted sensors whose readings are still being deleted.
pub const SENSOR_DELETIONS: &str = "sensorpipe_sensor_deletions";
/// Readings of deleted sensors that this process has deleted.
pub const SENSOR_READINGS_DELETED: &str = "sensorpipe_sensor_readings_deleted_total";

/// Records of sensors that this worker has told the topic of.
pub const SENSOR_RECORDS: &str = "sensorpipe_sensor_records_total";
/// Sensors that the database had lost and this worker has made again.
pub const SENSORS_RESTORED: &str = "sensorpipe_sensors_restored_total";

/// Rounds of a worker's background jobs; labels: `job_name`, `outcome` = `succeeded`, `failed` or `panicked`. Not `job`,
/// which Prometheus sets itself.
pub const JOB_ROUNDS: &str = "sensorpipe_job_rounds_total";

/// Rounds of an audit that goes on; labels: `outcome` = `clean`, `differences`, `undetermined` (a partition could not be
/// read) or `failed`.
pub const AUDIT_ROUNDS: &str = "sensorpipe_audit_rounds_total";
/// Differences that its rounds found; labels: `kind`.
pub const AUDIT_DIFFERENCES: &str = "sensorpipe_audit_differences_total";
/// Partitions with a difference that nobody has resolved; labels: `kind`.
pub const AUDIT_OPEN_DIFFERENCES: &str = "sensorpipe_audit_open_differences";
/// All readings that were stored by then are accounted for, in Unix seconds; 0 before the first clean round.
pub const AUDITED_UP_TO: &str = "sensorpipe_audit_up_to_timestamp_seconds";
/// Readings found in neither table.
pub const AUDIT_UNACCOUNTED: &str = "sensorpipe_audit_unaccounted_readings_total";
/// Readings that it read from the log and looked up.
pub const AUDIT_READINGS: &str = "sensorpipe_audit_readings_total";
/// Seconds that a round took.
pub const AUDIT_SECONDS: &str = "sensorpipe_audit_duration_seconds";
/// When the last round ended that was not cut short, in Unix seconds.
pub const AUDIT_ENDED_AT: &str = "sensorpipe_audit_last_end_timestamp_seconds";

/// HTTP requests; labels: `method`, `route`, `status`.
pub const HTTP_REQUESTS: &str = "sensorpipe_http_requests_total";
/// Seconds until the answer's head; labels: `route`.
pub const HTTP_SECONDS: &str = "sensorpipe_http_request_duration_seconds";
/// Requests that showed a key; labels: `key` = its name, `outcome` = `allowed`, `limited` or `forbidden`.
pub const HTTP_KEY_REQUESTS: &str = "sensorpipe_http_key_requests_total";
/// Requests refused because their key held its share of a resource; labels: `key` = its name, `resource` = `query`,
/// `export` or `event_stream`.
pub const HTTP_KEY_REFUSALS: &str = "sensorpipe_http_key_refusals_total";
/// Requests turned away because they showed no key that holds.
pub const HTTP_UNAUTHORIZED: &str = "sensorpipe_http_unauthorized_total";
/// Readings that Kafka has acknowledged to the api.
pub const PUBLISHED_READINGS: &str = "sensorpipe_published_readings_total";
/// Seconds from handing a record to the client to Kafka's acknowledgement.
pub const PUBLISH_SECONDS: &str = "sensorpipe_publish_duration_seconds";
/// Records that Kafka has not acknowledged in time; labels: `cause` = `queue_full`, `down`, `timed_out` or
/// `refused`.
pub const PUBLISH_FAILURES: &str = "sensorpipe_publish_failures_total";
/// Records that wait for Kafka in this process.
pub const PRODUCER_QUEUE_RECORDS: &str = "sensorpipe_producer_queue_records";
/// Bytes of these.
pub const PRODUCER_QUEUE_BYTES: &str = "sensorpipe_producer_queue_bytes";
/// Most records that may wait.
pub const PRODUCER_QUEUE_MAX_RECORDS: &str = "sensorpipe_producer_queue_max_records";
/// Most bytes that may wait.
pub const PRODUCER_QUEUE_MAX_BYTES: &str = "sensorpipe_producer_queue_max_bytes";
/// Producers that were replaced after a fatal error.
pub const PRODUCERS_RECREATED: &str = "sensorpipe_producers_recreated_total";
/// Exports of readings that have ended; labels: `outcome` = `complete`, `client_gone` or `cut_off`.
pub const EXPORTS: &str = "sensorpipe_exports_total";

/// Connections to Postgres; labels: `pool` = `primary` or `reads`, `state` = `used` or `idle`.
pub const POOL_CONNECTIONS: &str = "sensorpipe_db_pool_connections";
/// Most connections that a pool may have; labels: `pool`.
pub const POOL_MAX_CONNECTIONS: &str = "sensorpipe_db_pool_max_connections";
/// Queries that wait for a connection; labels: `pool`.
pub const POOL_WAITING: &str = "sensorpipe_db_pool_waiting";
/// Queries that got no connection in time; labels: `pool`.
pub const POOL_TIMEOUTS: &str = "sensorpipe_db_pool_timeouts_total";

/// 1 where a setting of Kafka or Postgres is not safe; labels: `setting`.
pub const UNSAFE_SETTINGS: &str = "sensorpipe_unsafe_settings";
/// 1, with what was built; labels: `version`, `commit`.
pub const BUILD_INFO: &str = "sensorpipe_build_info";
/// What `/readyz` says.
pub const READY: &str = "sensorpipe_ready";
/// What `/readyz` says of each component; labels: `component`.
pub const COMPONENT_UP: &str = "sensorpipe_component_up";
