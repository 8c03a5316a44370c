//! Variables that nobody should set: those that were settings once and do nothing now, and those for tests.

use std::ffi::OsString;

/// Their names, and what holds in their place.
const RETIRED: [(&str, &str); 30] = [
    ("ASSIGN_TIMEOUT", "10s"),
    ("AUDIT_INTERVAL", "1min"),
    ("AUDIT_RECORDS_PER_SECOND", "AUDIT_CPU_SHARE bounds an audit"),
    ("BATCH_MAX_BYTES", "8 MiB"),
    ("BATCH_MAX_READINGS", "50,000"),
    ("CHECKPOINT_INTERVAL", "30min"),
    ("DEAD_LETTER_MAX_BYTES", "1 GiB"),
    ("EVENT_STREAMS_MAX", "1,000"),
    ("EXPORTS_MAX", "8"),
    ("EXPORT_STALL_TIMEOUT", "30s"),
    ("EXPORT_TIMEOUT", "1h"),
    ("HTTP_MAX_HELD_BYTES", "64 MiB, or four times HTTP_MAX_BODY_BYTES where that is more"),
    ("HTTP_MAX_IN_FLIGHT", "4,096"),
    ("HTTP_MAX_WAIT", "20s"),
    ("HTTP_REQUEST_TIMEOUT", "30s"),
    ("KAFKA_MIN_INSYNC_REPLICAS", "a majority of KAFKA_REPLICATION"),
    ("KEEP_DAYS_INTERVAL", "15min"),
    ("KNOWN_SENSORS_MAX", "1,000,000"),
    ("LINGER_MS", "5 ms"),
    ("LOCK_TIMEOUT", "2s"),
    ("PUBLISH_TIMEOUT", "5s"),
    ("QUERY_BUCKETS_MAX", "10,000"),
    ("QUERY_SENSORS_MAX", "10,000"),
    ("READ_POOL_SIZE", "DATABASE_POOL_SIZE"),
    ("RECORD_MAX_BYTES", "16 MiB"),
    ("RETENTION_INTERVAL", "1h"),
    ("SENSOR_DELETION_INTERVAL", "10s"),
    ("STUCK_AFTER", "60s"),
    ("WRITE_FK_CHECK", "auto"),
    ("WRITE_TIMEOUT", "120s"),
];

/// Those of them that `variable` finds, with what holds in their place; nothing where there are none. An empty variable
/// counts as not set.
pub fn retired_settings(variable: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let set = RETIRED.iter().filter(|(name, _)| is_set(name));
    let set: Vec<String> = set.map(|(name, instead)| format!("{name} (now: {instead})")).collect();
    (!set.is_empty()).then(|| set.join(", "))
}

/// The names of those variables that are for tests alone; nothing where there are none. They change bounds that the
/// documentation promises.
pub fn settings_for_tests(names: impl IntoIterator<Item = OsString>) -> Option<String> {
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let mut set: Vec<String> = names.filter(|name| name.starts_with("SENSORPIPE_TEST_")).collect();
    set.sort();
    (!set.is_empty()).then(|| set.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_set_are_named_with_what_holds_now() {
        let variable = |name: &str| match name {
            "LINGER_MS" | "EXPORT_TIMEOUT" => Some(OsString::from("7")),
            "STUCK_AFTER" => Some(OsString::new()),
            _ => None,
        };
        let named = retired_settings(variable);
        assert_eq!(named.as_deref(), Some("EXPORT_TIMEOUT (now: 1h), LINGER_MS (now: 5 ms)"));
        assert_eq!(retired_settings(|_| None), None);
    }

    #[test]
    fn those_for_tests_are_named() {
        let named = |variables: &[&str]| settings_for_tests(variables.iter().map(OsString::from));
        let variables = ["SENSORPIPE_TEST_LINGER_MS", "RETENTION", "SENSORPIPE_TEST_EXPORTS_MAX"];
        let both = "SENSORPIPE_TEST_EXPORTS_MAX, SENSORPIPE_TEST_LINGER_MS";
        assert_eq!(named(&variables).as_deref(), Some(both));
        assert_eq!(named(&["RETENTION"]), None);
    }
}
