//! Names of the api's host.

use std::{net::Ipv6Addr, str::FromStr};

/// By which `Host` the api may be called while there are no API keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// By any: for an api that only trusted clients reach, none of which is a browser.
    Any,
    /// By this name or address, in small letters and without a port; an IPv6 address stands in brackets.
    One(String),
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = !text.is_empty()
            && text.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
            });
        let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = in_brackets.and_then(|address| address.parse::<Ipv6Addr>().ok());
        match address {
            _ if text == "*" => Ok(Self::Any),
            _ if is_name => Ok(Self::One(text.to_owned())),
            Some(address) => Ok(Self::One(format!("[{address}]"))),
            None => {
                Err("a host is * or like sensors.example or [2001:db8::1], in small letters and without a \
                       scheme or a port"
                    .to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        assert_eq!("*".parse(), Ok(AllowedHost::Any));
        for host in ["api", "sensors.example", "my_service", "10.1.2.3", "[2001:db8::1]"] {
            assert_eq!(host.parse(), Ok(AllowedHost::One(host.to_owned())));
        }
        assert_eq!("[2001:DB8:0::1]".parse(), Ok(AllowedHost::One("[2001:db8::1]".to_owned())));
        for text in ["", "API", "http://api", "api:8080", "a b", "[::1", "::1", "[nowhere]", "*.example"] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
    }
}
