//! Refuses what a page of somebody else makes a browser send.
//!
//! A browser reaches loopback and the networks of its machine, so any page that is open in it can send requests there.
//! Two kinds are told from those of our own pages and of other programs:
//!
//! - **Requests of another origin**: `Origin`, which browsers send with each request that writes or that a page wants to
//!   read from another origin, names neither the api itself nor one of `CORS_ALLOW_ORIGINS`; or the browser says itself
//!   that the request is `cross-site` (`Sec-Fetch-Site`). This holds with API keys as well: a page does not know any, but a
//!   proxy in front may add one.
//! - **DNS rebinding**: the page's own name resolves to the api's address, so that to the browser the two are one origin.
//!   Such a request has that name as its `Host`. It is a name: a page at an address was served from that address. While
//!   there are no keys only hosts pass that are the machine's own or are named in `HTTP_ALLOWED_HOSTS`. Where keys are
//!   demanded the page has none.
//!
//! Programs that are no browser send no `Origin`, and pass. So does who follows a link to one of our pages: nothing is
//! written, and the page that has the link cannot read what comes.

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Version,
        header::{HOST, ORIGIN},
    },
};

pub(in crate::http) mod cors;
mod host;

use self::host::{Authority, Host};
use super::{errors::ApiError, routes::Access};
use crate::config::{AllowedHost, CorsOrigin, HttpConfig};

/// What browsers say of where a request comes from and what it is for (W3C Fetch Metadata). A page cannot set them.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Which hosts and origins pass.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct CrossSite {
    origins: Vec<CorsOrigin>,
    hosts: Vec<AllowedHost>,
    /// Whether others are meant to reach the api without a key: they do so by its addresses.
    takes_any_address: bool,
}

impl CrossSite {
    pub(in crate::http) fn new(http: &HttpConfig) -> Self {
        Self {
            origins: http.cors_allow_origins.clone(),
            hosts: http.http_allowed_hosts.clone(),
            takes_any_address: http.allow_anonymous,
        }
    }

    /// Lets a request to a route of this `access` pass, or says why not. `is_open`: whoever gets through may do everything.
    pub(in crate::http) fn check(
        &self,
        request: &Request,
        access: Option<Access>,
        is_open: bool,
    ) -> Result<(), ApiError> {
        let called = called(request)?;
        if is_open && let Some(called) = called {
            let authority = Authority::parse(called).ok_or(ApiError::NoHost)?;
            let takes_any_address = self.takes_any_address || access == Some(Access::Probe);
            self.check_host(&authority.host, takes_any_address)?;
        }
        let is_page = access.is_some_and(|access| access.scopes().is_none());
        if self.is_foreign(request, called, is_page) { Err(ApiError::ForeignOrigin) } else { Ok(()) }
    }

    fn check_host(&self, host: &Host, takes_any_address: bool) -> Result<(), ApiError> {
        let name = host.to_string();
        let is_allowed = |allowed: &AllowedHost| match allowed {
            AllowedHost::Any => true,
            AllowedHost::One(allowed) => *allowed == name,
        };
        let passes = host.is_loopback()
            || takes_any_address && matches!(host, Host::Address(_))
            || self.hosts.iter().any(is_allowed);
        if passes { Ok(()) } else { Err(ApiError::ForeignHost { host: name }) }
    }

    fn is_foreign(&self, request: &Request, called: Option<&[u8]>, is_page: bool) -> bool {
        if self.origins.contains(&CorsOrigin::Any) {
            return false;
        }
        let headers = request.headers();
        let is_cross_site = says(headers, &SEC_FETCH_SITE, "cross-site");
        let passes = |origin: &HeaderValue| {
            let is_allowed = self
                .origins
                .iter()
                .any(|allowed| matches!(allowed, CorsOrigin::One(allowed) if origin == allowed.as_str()));
            // A proxy that gives the api another Host than its own leaves it to the browser to say so.
            is_allowed
                || says(headers, &SEC_FETCH_SITE, "same-origin")
                || !is_cross_site && is_own(origin, called)
        };
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_none() {
            return is_cross_site && !(is_page && is_navigation(request.method(), headers));
        }
        !origins.all(passes)
    }
}

/// Whether a browser sent the request: no other client has these headers.
pub(super) fn is_from_browser(headers: &HeaderMap) -> bool {
    [ORIGIN, SEC_FETCH_SITE, SEC_FETCH_MODE, SEC_FETCH_DEST].iter().any(|name| headers.contains_key(name))
}

/// The host and port that the client means: those of the target where it has them (RFC 9112, 3.2.2). An HTTP/1.0 request
/// may have none; no browser sends one.
fn called(request: &Request) -> Result<Option<&[u8]>, ApiError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || request.version() == Version::HTTP_11 && host.is_none() {
        return Err(ApiError::NoHost);
    }
    let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    Ok(target.or(host.map(HeaderValue::as_bytes)))
}

/// Whether an origin has the host and the port that were called.
fn is_own(origin: &HeaderValue, called: Option<&[u8]>) -> bool {
    let Some((origin, default_port)) = Authority::of_origin(origin.as_bytes()) else { return false };
    let Some(called) = called.and_then(Authority::parse) else { return false };
    origin.host == called.host && origin.port_or(default_port) == called.port_or(default_port)
}

/// Whether somebody follows a link, rather than a page that embeds or fetches.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && says(headers, &SEC_FETCH_MODE, "navigate")
        && says(headers, &SEC_FETCH_DEST, "document")
}

fn says(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|said| said == value)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(line: &str, headers: &[(&str, &str)]) -> Request {
        let (method, target) = line.split_once(' ').unwrap();
        let request = Request::builder().method(method).uri(target);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }

    fn rules(origins: &[&str], hosts: &[&str], takes_any_address: bool) -> CrossSite {
        CrossSite {
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            takes_any_address,
        }
    }

    /// What these paths have in the api.
    fn access(path: &str) -> Access {
        match path {
            "/" | "/docs" => Access::Public,
            "/readyz" | "/metrics" => Access::Probe,
            _ => Access::key(crate::access::Scope::Read),
        }
    }

    /// The status of what is refused, 200 for what passes.
    fn status(rules: &CrossSite, is_open: bool, request: &Request) -> u16 {
        rules
            .check(request, Some(access(request.uri().path())), is_open)
            .map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn without_keys_the_host_is_this_machine_or_named() {
        for (rules, host, route, expected) in [
            (rules(&[], &[], false), "127.0.0.1:8080", "/sensors", 200),
            (rules(&[], &[], false), "evil.example:8080", "/sensors", 403),
            (rules(&[], &[], false), "evil.example:8080", "/docs", 403),
            (rules(&[], &[], false), "evil.example:8080", "/metrics", 403),
            (rules(&[], &[], false), "10.1.2.3:8080", "/sensors", 403),
            (rules(&[], &[], false), "10.1.2.3:8080", "/readyz", 200),
            (rules(&[], &[], false), "0.0.0.0:8080", "/sensors", 403),
            (rules(&[], &[], false), "a b", "/sensors", 400),
            (rules(&[], &[], false), "", "/sensors", 400),
            (rules(&[], &[], true), "10.1.2.3:8080", "/sensors", 200),
            (rules(&[], &[], true), "api:8080", "/sensors", 403),
            (rules(&[], &["api"], true), "API:8080", "/sensors", 200),
            (rules(&[], &["[2001:db8::1]"], false), "[2001:DB8:0::1]:80", "/sensors", 200),
            (rules(&[], &["*"], false), "evil.example", "/sensors", 200),
        ] {
            let request = request(&format!("GET {route}"), &[("host", host)]);
            assert_eq!(status(&rules, true, &request), expected, "{host} {route}");
            assert_eq!(status(&rules, false, &request), 200, "{host} {route}: keys are demanded");
        }
    }

    #[test]
    fn the_host_of_the_target_counts_and_there_is_one() {
        let local = rules(&[], &[], false);
        let absolute = request("GET http://evil.example/sensors", &[("host", "localhost")]);
        assert_eq!(status(&local, true, &absolute), 403);
        for hosts in [&[][..], &[("host", "localhost"), ("host", "localhost")]] {
            assert_eq!(status(&local, true, &request("GET /sensors", hosts)), 400, "{hosts:?}");
        }
    }

    #[test]
    fn an_origin_is_our_own_or_named() {
        let (none, one) = (rules(&[], &[], false), rules(&["https://dashboard.example"], &[], false));
        for (origin, host, without, with) in [
            ("http://localhost:8080", "localhost:8080", 200, 200),
            ("http://localhost", "localhost:80", 200, 200),
            ("https://localhost", "localhost", 200, 200),
            ("http://LOCALHOST:8080", "localhost:8080", 200, 200),
            ("http://localhost:3000", "localhost:8080", 403, 403),
            ("http://127.0.0.1:8080", "localhost:8080", 403, 403),
            ("http://evil.example", "localhost:8080", 403, 403),
            ("http://localhost:8080.evil.example", "localhost:8080", 403, 403),
            ("null", "localhost:8080", 403, 403),
            ("", "localhost:8080", 403, 403),
            ("https://dashboard.example", "localhost:8080", 403, 200),
            ("http://dashboard.example", "localhost:8080", 403, 403),
        ] {
            let request = request("POST /sensors", &[("host", host), ("origin", origin)]);
            for is_open in [true, false] {
                assert_eq!(status(&none, is_open, &request), without, "{origin}");
                assert_eq!(status(&one, is_open, &request), with, "{origin}");
            }
            assert_eq!(status(&rules(&["*"], &[], false), true, &request), 200, "{origin}");
        }
        let two = request(
            "POST /sensors",
            &[("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")],
        );
        assert_eq!(status(&none, true, &two), 403);
    }

    #[test]
    fn a_browser_says_itself_where_a_request_comes_from() {
        let none = rules(&[], &[], false);
        let navigation = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        for (line, site, more, expected) in [
            ("GET /sensors", "none", &[][..], 200),
            ("GET /sensors", "same-origin", &[], 200),
            ("GET /sensors", "same-site", &[], 200),
            ("GET /sensors", "cross-site", &[], 403),
            ("GET /overview/events", "cross-site", &[], 403),
            ("GET /sensors", "cross-site", &navigation, 403),
            ("GET /docs", "cross-site", &navigation, 200),
            ("GET /docs", "cross-site", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], 403),
            ("GET /docs", "cross-site", &[("sec-fetch-mode", "no-cors")], 403),
            ("POST /docs", "cross-site", &navigation, 403),
            // Behind a proxy that changes Host.
            ("POST /sensors", "same-origin", &[("origin", "https://sensors.example")], 200),
            ("POST /sensors", "cross-site", &[("origin", "http://localhost")], 403),
        ] {
            let headers = [&[("host", "localhost"), ("sec-fetch-site", site)], more].concat();
            assert_eq!(status(&none, true, &request(line, &headers)), expected, "{line} {headers:?}");
        }
    }
}
