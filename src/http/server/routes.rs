//! The routes of a folder, each with who may use it: [`Routes`] is the only way to add one, and takes none without its
//! [`Access`].

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodRouter, get},
};
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::access::{Scope, Scopes};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Access {
    /// Everybody: pages and what they load.
    Public,
    /// Everybody, also by the pod's address: what Kubernetes and Prometheus ask.
    Probe,
    /// Who shows a key with one of these scopes.
    Key(Scopes),
    /// The same. The request holds a connection to the database for as long as it takes to be answered, so that it counts
    /// towards its key's share of queries.
    Query(Scopes),
}

impl Access {
    /// A key with this scope.
    pub(in crate::http) const fn key(scope: Scope) -> Self {
        Self::Key(Scopes::one(scope))
    }

    /// A key with this scope, for a query.
    pub(in crate::http) const fn query(scope: Scope) -> Self {
        Self::Query(Scopes::one(scope))
    }

    /// The scopes of which a key needs one; none where no key is needed.
    pub(in crate::http) const fn scopes(self) -> Option<Scopes> {
        match self {
            Self::Public | Self::Probe => None,
            Self::Key(scopes) | Self::Query(scopes) => Some(scopes),
        }
    }

    /// Whether the request counts towards its key's share of queries.
    pub(in crate::http) const fn is_query(self) -> bool {
        matches!(self, Self::Query(_))
    }
}

/// Who may use each route, by its path as the router has it.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct AccessTable(HashMap<String, PathAccess>);

/// Who may use a path: by method, and what a key needs for the methods that the path does not have, which are
/// refused (405).
#[derive(Clone, Debug)]
struct PathAccess {
    methods: Vec<(Method, Access)>,
    other_methods: Option<Scopes>,
}

impl AccessTable {
    /// What a request needs. A path that the table does not have needs `admin`: there is no route to it.
    pub(in crate::http) fn of(&self, method: &Method, path: &str) -> Access {
        self.0.get(path).map_or(Access::key(Scope::Admin), |path| path.of(method))
    }

    /// Every route: path, method, who may use it.
    pub(in crate::http) fn iter(&self) -> impl Iterator<Item = (&str, &Method, Access)> {
        self.0.iter().flat_map(|(path, of)| {
            of.methods.iter().map(move |(method, access)| (path.as_str(), method, *access))
        })
    }

    fn add(&mut self, path: &str, method: Method, access: Access, other_methods: Option<Scopes>) {
        let of_path = self
            .0
            .entry(path.to_owned())
            .or_insert_with(|| PathAccess { methods: Vec::new(), other_methods });
        of_path.methods.push((method, access));
    }

    fn merge(&mut self, other: Self) {
        for (path, of_path) in other.0 {
            for (method, access) in of_path.methods {
                self.add(&path, method, access, of_path.other_methods);
            }
        }
    }
}

impl PathAccess {
    fn of(&self, method: &Method) -> Access {
        let find = |wanted: &Method| {
            self.methods.iter().find(|(method, _)| method == wanted).map(|&(_, access)| access)
        };
        let declared =
            find(method).or_else(|| if *method == Method::HEAD { find(&Method::GET) } else { None });
        declared.unwrap_or_else(|| self.of_other(method))
    }

    /// Of a method that the path does not have: it is guarded as if it had.
    fn of_other(&self, method: &Method) -> Access {
        let keyless = self.methods.iter().map(|&(_, access)| access).find(|access| access.scopes().is_none());
        let by_method = || Scopes::one(if is_safe(method) { Scope::Read } else { Scope::Admin });
        keyless.unwrap_or_else(|| Access::Key(self.other_methods.unwrap_or_else(by_method)))
    }
}

/// Whether a request of this method changes nothing (RFC 9110, 9.2.1).
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Routes that need a state `S`, what the OpenAPI document says of them, and who may use them.
pub(in crate::http) struct Routes<S = ()> {
    router: OpenApiRouter<S>,
    access: AccessTable,
    other_methods: Option<Scopes>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet. A request whose method a path does not have needs `read` where it is a GET, else `admin`.
    pub(in crate::http) fn new() -> Self {
        Self { router: OpenApiRouter::default(), access: AccessTable::default(), other_methods: None }
    }

    /// No routes yet. A request whose method a path does not have needs one of these scopes.
    pub(in crate::http) fn only_for(scopes: Scopes) -> Self {
        Self { other_methods: Some(scopes), ..Self::new() }
    }

    /// Adds operations that the OpenAPI document has, as `utoipa_axum::routes!` makes them.
    pub(in crate::http) fn route(mut self, access: Access, route: UtoipaMethodRouter<S>) -> Self {
        for (path, item) in &route.1.paths {
            for method in methods_of(item) {
                self.access.add(path, method, access, self.other_methods);
            }
        }
        self.router = self.router.routes(route);
        self
    }

    /// Adds a `GET` that the OpenAPI document does not have, with a state of its own.
    pub(in crate::http) fn page<H, T, P>(mut self, access: Access, path: &str, handler: H, state: P) -> Self
    where
        H: Handler<T, P>,
        T: 'static,
        P: Clone + Send + Sync + 'static,
    {
        let page: MethodRouter<S> = get(handler).with_state(state);
        self.access.add(path, Method::GET, access, self.other_methods);
        self.router = self.router.route(path, page);
        self
    }

    /// Adds all routes of others.
    pub(in crate::http) fn merge(mut self, other: Self) -> Self {
        self.access.merge(other.access);
        self.router = self.router.merge(other.router);
        self
    }

    /// Gives the routes the state that they need.
    pub(in crate::http) fn with_state(self, state: S) -> Routes {
        let Self { router, access, other_methods } = self;
        Routes { router: router.with_state(state), access, other_methods }
    }

    /// What the OpenAPI document says of the routes, and who may use them.
    pub(in crate::http) fn documented(&self) -> (&OpenApi, &AccessTable) {
        (self.router.get_openapi(), &self.access)
    }

    /// The router and who may use its routes, for [`super::router`], which puts the one before the other.
    pub(super) fn into_parts(self) -> (Router<S>, Arc<AccessTable>) {
        (self.router.into(), Arc::new(self.access))
    }
}

fn methods_of(item: &PathItem) -> impl Iterator<Item = Method> {
    [
        (&item.get, Method::GET),
        (&item.head, Method::HEAD),
        (&item.post, Method::POST),
        (&item.put, Method::PUT),
        (&item.patch, Method::PATCH),
        (&item.delete, Method::DELETE),
        (&item.options, Method::OPTIONS),
        (&item.trace, Method::TRACE),
    ]
    .into_iter()
    .filter_map(|(operation, method)| operation.as_ref().map(|_| method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[utoipa::path(get, path = "/things")]
    async fn list() {}

    #[utoipa::path(post, path = "/things")]
    async fn create() {}

    const READ: Access = Access::query(Scope::Read);
    const ADMIN: Access = Access::key(Scope::Admin);

    #[test]
    fn each_method_of_a_path_has_its_own_access() {
        let routes = Routes::<()>::new()
            .route(READ, utoipa_axum::routes!(list))
            .merge(Routes::new().route(ADMIN, utoipa_axum::routes!(create)));
        let (_, table) = routes.documented();
        assert_eq!(table.of(&Method::GET, "/things"), READ);
        assert_eq!(table.of(&Method::HEAD, "/things"), READ);
        assert_eq!(table.of(&Method::POST, "/things"), ADMIN);
        assert_eq!(table.iter().count(), 2);
    }

    #[test]
    fn a_method_that_a_path_does_not_have_is_guarded() {
        let key = Access::key;
        let routes = Routes::<()>::new().route(key(Scope::Ingest), utoipa_axum::routes!(create));
        let (_, table) = routes.documented();
        assert_eq!(table.of(&Method::GET, "/things"), key(Scope::Read));
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(table.of(&method, "/things"), ADMIN, "{method}");
        }
        let routes =
            Routes::<()>::only_for(Scopes::one(Scope::Ingest)).route(ADMIN, utoipa_axum::routes!(create));
        let routes = Routes::new().merge(routes);
        for method in [Method::GET, Method::PUT] {
            assert_eq!(routes.documented().1.of(&method, "/things"), key(Scope::Ingest), "{method}");
        }
        assert_eq!(routes.documented().1.of(&Method::POST, "/things"), ADMIN);
    }

    #[test]
    fn what_is_open_is_open_whatever_the_method() {
        let routes = Routes::<()>::new().page(Access::Public, "/page", async || {}, ());
        let (_, table) = routes.documented();
        for method in [Method::GET, Method::HEAD, Method::POST] {
            assert_eq!(table.of(&method, "/page"), Access::Public, "{method}");
        }
        assert_eq!(table.of(&Method::GET, "/page/more"), ADMIN, "no route, no access");
    }
}
