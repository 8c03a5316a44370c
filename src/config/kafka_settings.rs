//! librdkafka's settings from the environment: `KAFKA_CONFIG_security_protocol=SASL_SSL` sets `security.protocol`.
//!
//! Whatever cannot be used is refused before a client is created, by the name of its variable. No value is ever shown:
//! under a misspelt name it may be a password.

mod guarded;
mod names;
mod service_links;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::OsString,
    fmt,
};

#[cfg(test)]
pub(crate) use self::{guarded::GUARDED, names::ALIASES};
use self::{guarded::Verdict, service_links::is_service_link};
pub use self::{guarded::is_guarded, names::property};

const PREFIX: &str = "KAFKA_CONFIG_";

/// Settings that the broker decides under the new group protocol (KIP-848), and librdkafka refuses.
const CLASSIC_ONLY: [&str; 4] =
    ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];

/// Settings for every Kafka client, by librdkafka's own name of each: an alias is stored under the name that it
/// stands for.
///
/// Read from the environment only, so that secrets stay off command lines.
#[derive(Clone, Default)]
pub struct KafkaSettings(pub BTreeMap<String, String>);

/// What the environment holds.
#[derive(Debug)]
pub struct KafkaVariables {
    /// The settings.
    pub settings: KafkaSettings,
    /// Variables that Kubernetes has set for a service called `kafka-config`; they are ignored.
    pub service_links: Vec<String>,
}

/// Variables that cannot be used, a line for each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct InvalidVariables(pub Vec<String>);

impl KafkaSettings {
    /// The settings of the process environment. `fault` says what librdkafka has against a property's value, if
    /// anything, without repeating the value.
    pub fn from_env(
        fault: impl Fn(&str, &str) -> Option<String>,
    ) -> Result<KafkaVariables, InvalidVariables> {
        Self::from_vars(std::env::vars_os(), fault)
    }

    fn from_vars(
        vars: impl Iterator<Item = (OsString, OsString)>,
        fault: impl Fn(&str, &str) -> Option<String>,
    ) -> Result<KafkaVariables, InvalidVariables> {
        let mut reading = Reading::default();
        let mut ours: Vec<_> =
            vars.filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())).collect();
        // The environment has no order; messages should.
        ours.sort();
        for (name, value) in ours {
            match (name.to_str(), value.to_str()) {
                (Some(name), Some(value)) => reading.read(name, value, &fault),
                _ => reading.faults.push(format!("{} is not valid UTF-8", name.to_string_lossy())),
            }
        }
        reading.check_group_protocol();
        if !reading.faults.is_empty() {
            return Err(InvalidVariables(reading.faults));
        }
        let settings = reading.found.into_iter().map(|(property, found)| (property, found.value)).collect();
        Ok(KafkaVariables { settings: Self(settings), service_links: reading.service_links })
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A setting, and the variable that it came from.
struct Found {
    variable: String,
    value: String,
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    found: BTreeMap<String, Found>,
    service_links: Vec<String>,
    faults: Vec<String>,
}

impl Reading {
    fn read(&mut self, variable: &str, value: &str, fault: impl Fn(&str, &str) -> Option<String>) {
        let name = &variable[PREFIX.len()..];
        if is_service_link(name, value) {
            self.service_links.push(variable.to_owned());
            return;
        }
        let property = names::of_variable(name);
        let value = match guarded::check(&property, value) {
            Verdict::Refused(why) => {
                self.faults.push(format!("{variable} {why}"));
                return;
            }
            Verdict::Accepted(word) => word,
            Verdict::Unguarded => normalized(&property, value),
        };
        if let Some(why) = fault(&property, &value) {
            self.faults.push(format!("{variable} {why}"));
            return;
        }
        match self.found.entry(property) {
            Entry::Vacant(entry) => {
                entry.insert(Found { variable: variable.to_owned(), value });
            }
            Entry::Occupied(entry) if entry.get().value != value => {
                let (first, property) = (&entry.get().variable, entry.key());
                self.faults.push(format!(
                    "{first} and {variable} both set librdkafka's {property}, to different values; keep one of them"
                ));
            }
            Entry::Occupied(_) => {}
        }
    }

    fn check_group_protocol(&mut self) {
        let Some(protocol) = self.found.get("group.protocol").filter(|found| found.value == "consumer")
        else {
            return;
        };
        for setting in CLASSIC_ONLY.iter().filter_map(|name| self.found.get(*name)) {
            self.faults.push(format!(
                "{} cannot be set together with {}=consumer: with this protocol the broker decides it",
                setting.variable, protocol.variable
            ));
        }
    }
}

/// A value as librdkafka understands it, where this code reads it, too.
fn normalized(property: &str, value: &str) -> String {
    match property {
        "group.protocol" => value.trim().to_ascii_lowercase(),
        "partitioner" => value.trim_start().to_owned(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<KafkaVariables, InvalidVariables> {
        KafkaSettings::from_vars(vars.iter().map(|(name, value)| (name.into(), value.into())), |_, _| None)
    }

    fn faults(vars: &[(&str, &str)]) -> Vec<String> {
        read(vars).expect_err("they are refused").0
    }

    #[test]
    fn settings_pass_through_and_hide_their_values() {
        let vars = [
            ("KAFKA_CONFIG_security_protocol", "SASL_SSL"),
            ("KAFKA_CONFIG_SASL_PASSWORD", "hush"),
            ("PATH", "/bin"),
        ];
        let settings = read(&vars).unwrap().settings;
        assert_eq!(settings.0["security.protocol"], "SASL_SSL");
        assert_eq!(settings.0["sasl.password"], "hush");
        assert_eq!(settings.0.len(), 2);
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn an_alias_is_stored_under_the_name_that_it_stands_for() {
        let settings =
            read(&[("KAFKA_CONFIG_linger_ms", "7"), ("KAFKA_CONFIG_topic_compression_type", "gzip")]);
        let settings = settings.unwrap().settings.0;
        assert_eq!(settings["queue.buffering.max.ms"], "7");
        assert_eq!(settings["compression.codec"], "gzip");
        assert_eq!(settings.len(), 2);
    }

    #[test]
    fn two_variables_of_one_setting_must_agree() {
        let pair = |first, second| {
            [("KAFKA_CONFIG_linger_ms", first), ("KAFKA_CONFIG_queue_buffering_max_ms", second)]
        };
        assert_eq!(read(&pair("7", "7")).unwrap().settings.0["queue.buffering.max.ms"], "7");
        let [fault] = &faults(&pair("7", "8"))[..] else { panic!("one fault") };
        assert!(
            fault.starts_with("KAFKA_CONFIG_linger_ms and KAFKA_CONFIG_queue_buffering_max_ms "),
            "{fault}"
        );
        let by_case = [("KAFKA_CONFIG_LINGER_MS", "7"), ("KAFKA_CONFIG_linger_ms", "8")];
        assert_eq!(faults(&by_case).len(), 1);
        let same_meaning =
            [("KAFKA_CONFIG_enable_auto_commit", "0"), ("KAFKA_CONFIG_ENABLE_AUTO_COMMIT", "False")];
        assert_eq!(read(&same_meaning).unwrap().settings.0["enable.auto.commit"], "false");
    }

    #[test]
    fn every_fault_is_reported_with_its_variable_and_without_its_value() {
        let vars = [
            ("KAFKA_CONFIG_Auto_Offset_Reset", "hush"),
            ("KAFKA_CONFIG_acks", "hush"),
            ("KAFKA_CONFIG_sasl_pasword", "hush"),
            ("KAFKA_CONFIG_sasl_password", "hush"),
        ];
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        let misspelt =
            |property: &str, _: &str| (property == "sasl.pasword").then(|| "is unknown".to_owned());
        let InvalidVariables(faults) = KafkaSettings::from_vars(vars, misspelt).unwrap_err();
        let [reset, acks, misspelt] = &faults[..] else { panic!("{faults:?}") };
        assert!(reset.starts_with("KAFKA_CONFIG_Auto_Offset_Reset must be error: "), "{reset}");
        assert!(acks.starts_with("KAFKA_CONFIG_acks must be all: "), "{acks}");
        assert_eq!(misspelt, "KAFKA_CONFIG_sasl_pasword is unknown");
        assert!(!faults.concat().contains("hush"), "{faults:?}");
    }

    #[test]
    fn only_our_own_variables_have_to_be_utf8() {
        let not_utf8 = || OsString::from_vec(vec![b'a', 0xff]);
        let read = |name: OsString| KafkaSettings::from_vars([(name, not_utf8())].into_iter(), |_, _| None);
        for others in ["X", "KAFKA_CONFIGURATION", "kafka_config_x"] {
            assert!(read(others.into()).unwrap().settings.0.is_empty());
        }
        assert!(read(not_utf8()).unwrap().settings.0.is_empty());
        let refused = read("KAFKA_CONFIG_sasl_password".into()).unwrap_err();
        assert_eq!(refused.0, ["KAFKA_CONFIG_sasl_password is not valid UTF-8"]);
        let mut name = b"KAFKA_CONFIG_".to_vec();
        name.push(0xff);
        assert_eq!(
            read(OsString::from_vec(name)).unwrap_err().0,
            ["KAFKA_CONFIG_\u{fffd} is not valid UTF-8"]
        );
    }

    #[test]
    fn the_group_protocol_is_read_as_librdkafka_reads_it() {
        let settings = read(&[("KAFKA_CONFIG_group_protocol", " CLASSIC ")]).unwrap().settings;
        assert_eq!(settings.0["group.protocol"], "classic");
        let timeout = ("KAFKA_CONFIG_session_timeout_ms", "9000");
        assert!(read(&[("KAFKA_CONFIG_group_protocol", "classic"), timeout]).is_ok());
        let [fault] = &faults(&[("KAFKA_CONFIG_group_protocol", "Consumer"), timeout])[..] else {
            panic!("one fault")
        };
        assert!(fault.starts_with("KAFKA_CONFIG_session_timeout_ms cannot be set together with "), "{fault}");
    }

    #[test]
    fn service_links_are_set_aside() {
        let vars = [("KAFKA_CONFIG_PORT", "tcp://10.0.0.1:9092"), ("KAFKA_CONFIG_debug", "conf")];
        let read = read(&vars).unwrap();
        assert_eq!(read.service_links, ["KAFKA_CONFIG_PORT"]);
        assert_eq!(read.settings.0.keys().collect::<Vec<_>>(), ["debug"]);
    }
}
