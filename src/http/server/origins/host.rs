//! The host and port that a client has called, as `Host` and `Origin` name them.

use std::net::{IpAddr, Ipv6Addr};

/// Longest name that DNS knows.
const NAME_MAX_BYTES: usize = 253;
/// The last label of names that are this machine's own, wherever they are asked for (RFC 6761, 6.3).
const LOCALHOST: &str = "localhost";

/// An address, or a name in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Host {
    Address(IpAddr),
    Name(String),
}

/// A host, and the port where one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(in crate::http) host: Host,
    pub(super) port: Option<u16>,
}

impl Host {
    /// Whether only this machine itself is called so.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Name(name) => {
                name.strip_suffix(LOCALHOST).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        }
    }

    fn named(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let is_name = (1..=NAME_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Authority {
    /// `localhost`, `127.0.0.1:8080`, `[::1]:8080`; none where it is anything else, with a user's name in it for one.
    pub(in crate::http) fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            (Host::Address(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)), port)
        } else {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (Host::named(name)?, port)
        };
        let port = match port {
            "" | ":" => None,
            port => {
                let digits = port.strip_prefix(':')?;
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                Some(digits.parse().ok().filter(|_| is_number)?)
            }
        };
        Some(Self { host, port })
    }

    /// Of an origin as browsers write it, with its scheme's port; none of `null`, which stands for a page without one.
    pub(super) fn of_origin(origin: &[u8]) -> Option<(Self, u16)> {
        let of_scheme = |scheme: &[u8], port| Some((Self::parse(origin.strip_prefix(scheme)?)?, port));
        of_scheme(b"http://", 80).or_else(|| of_scheme(b"https://", 443))
    }

    /// The port that is meant where none is named.
    pub(super) fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<u16>)> {
        Authority::parse(text.as_bytes()).map(|authority| (authority.host.to_string(), authority.port))
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_maybe_a_port() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            ("LocalHost:8080", "localhost", Some(8080)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[::1]:8080", "[::1]", Some(8080)),
            ("my_service.example:", "my_service.example", None),
            ("127.1", "127.1", None),
        ] {
            assert_eq!(parsed(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            ":80",
            "a b",
            "a:b",
            "a:+1",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]80",
            "[a]",
            "me@localhost",
            "localhost/",
            "a,b",
            "ä",
            &"a".repeat(254),
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_known_by_its_addresses_and_names() {
        let is_loopback = |text: &str| Authority::parse(text.as_bytes()).unwrap().host.is_loopback();
        for text in ["localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(text), "{text}");
        }
        for text in [
            "localhost.example",
            "evillocalhost",
            "localhost.",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "127.1",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(text), "{text}");
        }
    }

    #[test]
    fn an_origin_has_the_port_of_its_scheme() {
        let of = |origin: &str| {
            Authority::of_origin(origin.as_bytes()).map(|(authority, port)| authority.port_or(port))
        };
        assert_eq!(of("http://localhost:8080"), Some(8080));
        assert_eq!(of("http://localhost"), Some(80));
        assert_eq!(of("https://sensors.example"), Some(443));
        for origin in ["null", "", "localhost:8080", "file://", "chrome-extension://abc", "http://a b"] {
            assert_eq!(of(origin), None, "{origin}");
        }
    }
}
