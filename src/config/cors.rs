//! Origins of pages.

use std::str::FromStr;

/// Whose pages may call the api from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// Everybody's.
    Any,
    /// This origin's, as a browser writes it: `https://dashboard.example`.
    One(String),
}

impl FromStr for CorsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_authority = |authority: &str| {
            !authority.is_empty()
                && authority.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte)
                })
        };
        match authority {
            _ if text == "*" => Ok(Self::Any),
            Some(authority) if is_authority(authority) => Ok(Self::One(text.to_owned())),
            _ => {
                Err("an origin is * or like https://dashboard.example:8443, in small letters and without a \
                      path"
                    .to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        assert_eq!("*".parse(), Ok(CorsOrigin::Any));
        for origin in ["http://localhost:3000", "https://dashboard.example", "http://[::1]:8080"] {
            assert_eq!(origin.parse(), Ok(CorsOrigin::One(origin.to_owned())));
        }
        for text in [
            "",
            "dashboard.example",
            "https://",
            "https://a.example/",
            "https://A.example",
            "null",
            "https://*",
        ] {
            assert!(text.parse::<CorsOrigin>().is_err(), "{text}");
        }
    }
}
