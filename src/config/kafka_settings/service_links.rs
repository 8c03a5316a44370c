//! Variables that Kubernetes sets in every container of a namespace with a service called `kafka-config` or
//! `kafka-config-…`. <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>

use std::net::{IpAddr, SocketAddr};

/// Whether this is such a variable, by its name after `KAFKA_CONFIG_` and the form of its value.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let parts: Vec<&str> = name.split('_').collect();
    match &parts[..] {
        [.., "SERVICE", "HOST"] => is_address(value),
        [.., "PORT", port, transport, suffix] if is_number(port) && is_transport(transport) => {
            match *suffix {
                "PROTO" => is_transport(value),
                "PORT" => value == *port,
                "ADDR" => is_address(value),
                _ => false,
            }
        }
        [.., "PORT", port, transport] if is_number(port) && is_transport(transport) => is_url(value),
        [.., "PORT"] if is_url(value) => true,
        // A port of a service may have a name, which comes last.
        _ => {
            let is_upper = name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
            is_upper && parts.windows(2).any(|pair| pair == ["SERVICE", "PORT"]) && is_number(value)
        }
    }
}

fn is_transport(text: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|transport| text.eq_ignore_ascii_case(transport))
}

/// `tcp://10.0.0.1:9092`
fn is_url(value: &str) -> bool {
    value
        .split_once("://")
        .is_some_and(|(transport, address)| is_transport(transport) && address.parse::<SocketAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_recognised_by_name_and_value() {
        for (name, value) in [
            ("SERVICE_HOST", "10.0.0.11"),
            ("SERVICE_PORT", "9092"),
            ("SERVICE_PORT_CLIENT_TLS", "9093"),
            ("PORT", "tcp://10.0.0.11:9092"),
            ("PORT_9092_TCP", "tcp://10.0.0.11:9092"),
            ("PORT_9092_TCP_PROTO", "tcp"),
            ("PORT_9092_TCP_PORT", "9092"),
            ("PORT_9092_TCP_ADDR", "10.0.0.11"),
            ("PORT_53_UDP", "udp://[fd00::1]:53"),
            ("PORT_53_UDP_ADDR", "fd00::1"),
            ("EXPORTER_SERVICE_HOST", "10.0.0.12"),
            ("EXPORTER_PORT_80_TCP_ADDR", "10.0.0.12"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
    }

    #[test]
    fn everything_else_is_a_setting() {
        for (name, value) in [
            ("PORT", "9092"),
            ("PORT", "tcp://hush"),
            ("SERVICE_HOST", "hush"),
            ("SERVICE_PORT", "hush"),
            ("PORT_9092_TCP_NAME", "9092"),
            ("port", "9092"),
            ("service_port", "9092"),
            ("SASL_KERBEROS_SERVICE_NAME", "9092"),
            ("", ""),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}
