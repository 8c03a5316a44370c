//! The HTTP front end; the only place that names `axum`.
//!
//! One folder for each thing that a request is for. Each has a router of its own in its `mod.rs`, which says beside every
//! route who may use it; a route without that does not compile ([`server::routes`]).
//!
//! | folder | what a request is for | what it uses of the others |
//! |---|---|---|
//! | [`server`] | what every request passes: connections, admission, bodies, keys, origins, errors | nothing |
//! | [`sensors`] | sensors; which there are | `server` |
//! | [`ingest`] | readings come in, and are waited for | `server`, `sensors` |
//! | [`query`] | statistics, readings, exports, charts | `server`, `sensors` |
//! | [`live`] | event streams of readings and of how the service is doing | `server`, `sensors`, `query` |
//! | [`dead_letters`] | what could not be stored | `server` |
//! | [`pages`] | the dashboard, the OpenAPI document and its pages | `server` |
//! | [`operations`] | health, metrics, the log level | `server` |
//!
//! This file puts them together; [`parsing`] has what their routes make of bytes as plain functions, for fuzz targets and
//! property tests. `dev/architecture-check` holds the folders to the last column.

mod dead_letters;
mod ingest;
mod live;
mod operations;
mod pages;
pub mod parsing;
mod query;
mod sensors;
mod server;
mod state;

use axum::Router;

pub use self::{
    operations::serve_operations,
    sensors::SensorCache,
    server::{ServeLimits, access::KeyRing, request_id::current_request_id, serve},
    state::{Api, Operations, Sensors},
};
use self::{
    server::{
        Routes,
        origins::{CrossSite, cors},
    },
    state::FrontEnd,
};
use crate::config::HttpConfig;

/// Every route but those of the pages, which show what these say of themselves.
fn routes() -> Routes<FrontEnd> {
    Routes::new()
        .merge(ingest::routes())
        .merge(query::routes())
        .merge(sensors::routes())
        .merge(dead_letters::routes())
        .merge(live::routes())
        .merge(operations::routes())
}

/// The OpenAPI document as JSON.
pub fn openapi_document() -> String {
    pages::openapi::text(&routes())
}

/// Every route of the api; `keys` says who may use them, `http` whose pages may.
pub fn router(api: Api, keys: KeyRing, http: &HttpConfig, operations: Operations) -> Router {
    let routes = routes();
    let document = pages::openapi::text(&routes);
    let routes = routes.merge(pages::routes(document)).with_state(FrontEnd::new(api, operations, http));
    let front_end = server::router(routes, http.http_request_timeout, keys, CrossSite::new(http));
    match cors::layer(&http.cors_allow_origins) {
        // Outermost: a browser's question beforehand shows no key.
        Some(layer) => front_end.layer(layer),
        None => front_end,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::http::Method;
    use serde_json::Value;

    use super::*;
    use crate::{
        access::{Scope, Scopes},
        http::server::routes::Access,
    };

    /// The routes by what a key needs for them, as the docs have them.
    fn by_scopes() -> BTreeMap<String, Vec<String>> {
        let routes = routes().merge(pages::routes(String::new()));
        let mut all: Vec<_> = routes.documented().1.iter().collect();
        all.sort_by_key(|&(path, method, _)| (path, method.as_str()));
        let mut by_scopes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, method, access) in all {
            let needed = access.scopes().map_or("no key".to_owned(), |scopes| {
                let names: Vec<String> = scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
                names.join(" or ")
            });
            by_scopes.entry(needed).or_default().push(format!("`{method} {path}`"));
        }
        by_scopes
    }

    #[test]
    fn the_docs_list_each_route_with_its_scope() {
        let docs = include_str!("../../docs/security.md");
        let (_, section) = docs.split_once("## Scopes of the routes\n").expect("the docs have the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let listed: BTreeMap<String, Vec<String>> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
            .filter(|(needed, _)| *needed != "needs")
            .map(|(needed, routes)| (needed.to_owned(), routes.split(", ").map(str::to_owned).collect()))
            .collect();
        assert_eq!(listed, by_scopes());
    }

    #[test]
    fn the_openapi_document_says_which_scope_a_route_needs() {
        let document: Value = serde_json::from_str(&openapi_document()).unwrap();
        let routes = routes();
        let mut guarded = 0;
        for (path, method, access) in routes.documented().1.iter() {
            let operation = &document["paths"][path][method.as_str().to_lowercase()];
            assert!(operation.is_object(), "{method} {path}");
            let security = operation["security"].as_array().into_iter().flatten();
            let said: Vec<&str> = security.filter_map(|one| one["bearer"][0].as_str()).collect();
            let enough =
                |scope: &Scope| access.scopes().is_some_and(|needed| Scopes::one(*scope).allow(needed));
            let expected: Vec<&str> =
                Scope::ALL.iter().filter(|scope| enough(scope)).map(|scope| scope.as_str()).collect();
            assert_eq!(said, expected, "{method} {path}");
            guarded += usize::from(!expected.is_empty());
        }
        assert!(guarded > 20, "{guarded}");
    }

    #[test]
    fn only_probes_are_called_by_any_address() {
        let routes = routes();
        let mut probes: Vec<&str> = routes
            .documented()
            .1
            .iter()
            .filter(|(.., access)| *access == Access::Probe)
            .map(|(path, ..)| path)
            .collect();
        probes.sort_unstable();
        assert_eq!(probes, ["/healthz", "/metrics", "/readyz"]);
    }

    #[test]
    fn what_holds_a_connection_is_a_query() {
        let routes = routes();
        let is_query = |path| routes.documented().1.of(&Method::GET, path).is_query();
        for path in ["/sensors", "/daily_avg/{sensor_id}", "/sensors/stats", "/dead-letters"] {
            assert!(is_query(path), "{path}");
        }
        // Until its first event, which is where the sensor's readings are.
        assert!(is_query("/sensors/{sensor_id}/readings/events"));
        for path in
            ["/metrics", "/overview", "/overview/events", "/log-level", "/receipts/{partition}/{offset}"]
        {
            assert!(!is_query(path), "{path}");
        }
        assert!(!routes.documented().1.of(&Method::POST, "/readings").is_query());
    }

    #[test]
    fn a_method_that_a_route_does_not_have_is_guarded() {
        let routes = routes().merge(pages::routes(String::new()));
        let needed = |method, path| routes.documented().1.of(method, path).scopes();
        let (admin, read) = (Some(Scopes::one(Scope::Admin)), Some(Scopes::one(Scope::Read)));
        assert_eq!(needed(&Method::PUT, "/sensors"), admin);
        assert_eq!(needed(&Method::GET, "/readings"), read);
        assert_eq!(needed(&Method::DELETE, "/sensor_data/{sensor_id}"), admin);
        assert_eq!(needed(&Method::GET, "/dead-letters/replay"), admin);
        assert_eq!(needed(&Method::HEAD, "/dead-letters/{id}/replay"), admin);
        let either = Scopes::one(Scope::Ingest) | Scopes::one(Scope::Read);
        assert_eq!(needed(&Method::POST, "/receipts/{partition}/{offset}"), Some(either));
        assert_eq!(needed(&Method::DELETE, "/log-level"), admin);
        assert_eq!(needed(&Method::POST, "/docs"), None);
        assert_eq!(needed(&Method::POST, "/metrics"), None);
    }
}
