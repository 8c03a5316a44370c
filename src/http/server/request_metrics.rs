//! Metrics of requests, looked up by names that are there already: a request allocates nothing for them.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use axum::http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::RwLock;

use crate::metrics::{HTTP_REQUESTS, HTTP_SECONDS};

/// Handles of every route that was ever asked for; as few as there are routes, methods and statuses.
static ROUTES: LazyLock<RwLock<HashMap<String, Route>>> = LazyLock::new(RwLock::default);

struct Route {
    seconds: Histogram,
    requests: HashMap<(&'static str, StatusCode), Counter>,
}

/// Counts an answered request; `method` is one of a few names.
pub(in crate::http) fn record(method: &'static str, route: &str, status: StatusCode, elapsed: Duration) {
    let key = (method, status);
    let routes = ROUTES.read();
    if let Some(Route { seconds, requests }) = routes.get(route)
        && let Some(counter) = requests.get(&key)
    {
        seconds.record(elapsed.as_secs_f64());
        return counter.increment(1);
    }
    drop(routes);
    let mut routes = ROUTES.write();
    let Route { seconds, requests } = routes.entry(route.to_owned()).or_insert_with(|| Route {
        seconds: histogram!(HTTP_SECONDS, "route" => route.to_owned()),
        requests: HashMap::new(),
    });
    seconds.record(elapsed.as_secs_f64());
    let counter = requests.entry(key).or_insert_with(|| {
        let status = status.as_str().to_owned();
        counter!(HTTP_REQUESTS, "method" => method, "route" => route.to_owned(), "status" => status)
    });
    counter.increment(1);
}
