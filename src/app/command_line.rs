//! What every program of ours does before its own work: `.env`, arguments, settings of Kafka's clients.

use clap::Parser;

use crate::{
    config::{self, KafkaSettings, KafkaVariables},
    kafka,
};

/// The arguments, with what `.env` adds to the environment. The process ends where they cannot be used.
pub fn arguments<C: Parser>() -> C {
    if let Err(fault) = config::load_env_file() {
        refuse(&format!(".env: {fault}"));
    }
    let arguments = config::without_empty_variables(C::command()).try_get_matches();
    let arguments = arguments.and_then(|arguments| C::from_arg_matches(&arguments));
    arguments.unwrap_or_else(|error| config::explained(error, &C::command()).exit())
}

/// Settings from the environment for Kafka's clients. The process ends where they cannot be used.
pub fn kafka_settings() -> KafkaSettings {
    let KafkaVariables { settings, service_links } =
        KafkaSettings::from_env(kafka::setting_fault).unwrap_or_else(|faults| refuse(&faults.to_string()));
    if !service_links.is_empty() {
        tracing::warn!(
            "ignored: {}, which Kubernetes sets for a service whose name begins with kafka-config; \
             enableServiceLinks: false in the pod's spec turns them off",
            service_links.join(", ")
        );
    }
    settings
}

/// Says which settings cannot be used, a line for each, and ends the process.
pub(super) fn refuse(faults: &str) -> ! {
    /// As clap has it for flags; `audit` ends with 1 only where it found a difference.
    const INVALID_SETTINGS: i32 = 2;
    for fault in faults.lines() {
        eprintln!("Error: {fault}");
    }
    std::process::exit(INVALID_SETTINGS)
}
