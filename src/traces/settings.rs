//! What the standard's environment variables say; those that are not here are read by the SDK itself.
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use std::{ffi::OsString, time::Duration};

use hyper::Uri;

/// Whether there are traces, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// No collector is named, or traces are switched off.
    Off,
    /// To a collector.
    On {
        /// Its scheme, host and port, without what may be secret.
        collector: String,
        /// Longest time that one delivery may take.
        timeout: Duration,
        /// Whether the environment names this service.
        is_named: bool,
    },
}

/// A variable that cannot be followed. Its value is not shown: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {expected}")]
pub struct InvalidSetting {
    pub(super) variable: &'static str,
    pub(super) expected: &'static str,
}

const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
/// Every variable that is read here.
const READ: [&str; 12] = [
    ENDPOINT[0],
    ENDPOINT[1],
    PROTOCOL[0],
    PROTOCOL[1],
    TIMEOUT[0],
    TIMEOUT[1],
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
];
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Settings {
    /// What the process environment says.
    pub fn from_env() -> Result<Self, InvalidSetting> {
        Self::from_os_vars(std::env::var_os)
    }

    fn from_os_vars(var: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, InvalidSetting> {
        let is_utf8 = |name| var(name).is_none_or(|value| value.to_str().is_some());
        match READ.into_iter().find(|name| !is_utf8(name)) {
            Some(variable) => Err(InvalidSetting { variable, expected: "is not valid UTF-8" }),
            None => Self::from_vars(|name| var(name)?.into_string().ok()),
        }
    }

    fn from_vars(var: impl Fn(&'static str) -> Option<String>) -> Result<Self, InvalidSetting> {
        // The standard has an empty variable mean the same as none.
        let var = |name| var(name).filter(|value| !value.is_empty());
        let first_of = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, var(name)?)));
        let Some((variable, endpoint)) = first_of(ENDPOINT) else { return Ok(Self::Off) };
        if var("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self::Off);
        }
        match var("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(Self::Off),
            Some(_) => {
                return Err(InvalidSetting {
                    variable: "OTEL_TRACES_EXPORTER",
                    expected: "is either otlp or none",
                });
            }
        }
        if let Some((variable, protocol)) = first_of(PROTOCOL)
            && protocol != "http/protobuf"
        {
            let expected =
                "only http/protobuf is spoken; a collector takes it on a port of its own, mostly 4318";
            return Err(InvalidSetting { variable, expected });
        }
        check_sampler(var("OTEL_TRACES_SAMPLER"), var("OTEL_TRACES_SAMPLER_ARG"))?;
        let is_named = var("OTEL_SERVICE_NAME").is_some()
            || var("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| names_service(&attributes));
        let collector = collector(&endpoint)
            .ok_or(InvalidSetting { variable, expected: "is not a URL such as http://collector:4318" })?;
        let timeout = match first_of(TIMEOUT) {
            None => DEFAULT_TIMEOUT,
            Some((variable, text)) => match text.parse() {
                Ok(millis @ 1..) => Duration::from_millis(millis),
                Ok(_) | Err(_) => {
                    return Err(InvalidSetting { variable, expected: "is a number of milliseconds" });
                }
            },
        };
        Ok(Self::On { collector, timeout, is_named })
    }
}

/// The SDK would sample everything instead, and say so nowhere.
fn check_sampler(sampler: Option<String>, argument: Option<String>) -> Result<(), InvalidSetting> {
    let Some(sampler) = sampler else { return Ok(()) };
    if !SAMPLERS.contains(&sampler.as_str()) {
        return Err(InvalidSetting {
            variable: "OTEL_TRACES_SAMPLER",
            expected: "is one of always_on, always_off, traceidratio, parentbased_always_on, \
                       parentbased_always_off, parentbased_traceidratio",
        });
    }
    let ratio = argument.and_then(|ratio| ratio.parse::<f64>().ok());
    if sampler.ends_with("traceidratio") && !ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio)) {
        return Err(InvalidSetting {
            variable: "OTEL_TRACES_SAMPLER_ARG",
            expected: "is the share of traces that is kept, from 0 to 1",
        });
    }
    Ok(())
}

fn names_service(attributes: &str) -> bool {
    attributes
        .split(',')
        .any(|entry| entry.split_once('=').is_some_and(|(key, _)| key.trim() == "service.name"))
}

fn collector(endpoint: &str) -> Option<String> {
    let uri: Uri = endpoint.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host().filter(|host| !host.is_empty())?);
    let port = uri.port_u16();
    match scheme {
        "http" => Some(format!("http://{host}:{}", port.unwrap_or(80))),
        "https" => Some(format!("https://{host}:{}", port.unwrap_or(443))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(vars: &[(&'static str, &str)]) -> Result<Settings, InvalidSetting> {
        let value =
            |name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::from_vars(value)
    }

    const HERE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");

    #[test]
    fn only_a_collector_turns_traces_on() {
        let on = |collector: &str, is_named| {
            Ok(Settings::On { collector: collector.to_owned(), timeout: DEFAULT_TIMEOUT, is_named })
        };
        assert_eq!(settings(&[]), Ok(Settings::Off));
        assert_eq!(
            settings(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]),
            Ok(Settings::Off)
        );
        assert_eq!(settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(Settings::Off));
        assert_eq!(settings(&[HERE]), on("http://localhost:4318", false));
        assert_eq!(settings(&[HERE, ("OTEL_SERVICE_NAME", "x")]), on("http://localhost:4318", true));
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=x");
        assert_eq!(settings(&[HERE, attributes]), on("http://localhost:4318", true));
        assert_eq!(settings(&[HERE, ("OTEL_SDK_DISABLED", "true")]), Ok(Settings::Off));
        assert_eq!(settings(&[HERE, ("OTEL_TRACES_EXPORTER", "none")]), Ok(Settings::Off));
    }

    #[test]
    fn what_may_be_secret_in_an_endpoint_is_not_shown() {
        let secret = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://me:hush@collector/v1/traces?key=hush");
        let collector = "https://collector:443".to_owned();
        let shown = Settings::On { collector, timeout: DEFAULT_TIMEOUT, is_named: false };
        assert_eq!(settings(&[HERE, secret]), Ok(shown));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "most"),
        ] {
            assert_eq!(
                settings(&[HERE, (variable, value)]).map_err(|error| error.variable),
                Err(variable),
                "{value}"
            );
        }
        let ratio = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        for argument in ["", "all", "2", "-1", "NaN"] {
            let refused = settings(&[HERE, ratio, ("OTEL_TRACES_SAMPLER_ARG", argument)]);
            assert_eq!(refused.map_err(|error| error.variable), Err("OTEL_TRACES_SAMPLER_ARG"), "{argument}");
        }
        assert!(settings(&[HERE, ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.25")]).is_ok());
    }

    #[test]
    fn what_is_not_utf8_is_refused_by_name() {
        use std::os::unix::ffi::OsStringExt;
        for variable in READ {
            let read = |name| (name == variable).then(|| OsString::from_vec(vec![0xff]));
            assert_eq!(Settings::from_os_vars(read).map_err(|error| error.variable), Err(variable));
        }
    }
}
