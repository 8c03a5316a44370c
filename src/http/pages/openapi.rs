//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.

use serde_json::{Value, json};
use utoipa::OpenApi;

use crate::{
    access::{Scope, Scopes},
    http::server::Routes,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "sensorpipe",
        description = "Sensor readings from HTTP and Kafka into TimescaleDB, each stored exactly once."
    ),
    tags(
        (name = "sensors", description = "What measures."),
        (name = "readings", description = "What was measured."),
        (name = "statistics", description = "What it comes to."),
        (name = "dead letters", description = "What could not be stored, and how it is replayed or discarded."),
        (name = "operations", description = "What Kubernetes and Prometheus ask, open to all; and the log."),
    )
)]
struct Document;

/// The document of these routes as JSON. Which key an operation needs is what its route says.
pub(in crate::http) fn text<S: Clone + Send + Sync + 'static>(routes: &Routes<S>) -> String {
    let (operations, access) = routes.documented();
    let document = Document::openapi().merge_from(operations.clone());
    let mut document =
        serde_json::to_value(document).expect("the document has string keys and finite numbers only");
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "A token of `sensorpipe keys create`. Demanded as soon as there is a key."
        },
        "header": {
            "type": "apiKey", "in": "header", "name": "X-API-Key",
            "description": "The same token, where something else needs `Authorization`."
        }
    });
    for (path, method, access) in access.iter() {
        let operation = &mut document["paths"][path][method.as_str().to_lowercase()];
        name_request(operation);
        if let Some(needed) = access.scopes() {
            guard(operation, needed);
        }
    }
    format!("{document:#}")
}

/// Every answer has the request's name.
fn name_request(operation: &mut Value) {
    for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        response["headers"]["x-request-id"] = json!({
            "description": "The request's name: the client's own, or one that was made for it.",
            "schema": {"type": "string"}
        });
    }
}

fn guard(operation: &mut Value, needed: Scopes) {
    // A list of requirements is a choice, and so are the scopes: each of them alone is enough.
    let admitted: Vec<Scope> =
        Scope::ALL.into_iter().filter(|&scope| Scopes::one(scope).allow(needed)).collect();
    let requirement = |scheme: &str, scope: Scope| json!({scheme: [scope.as_str()]});
    operation["security"] = ["bearer", "header"]
        .iter()
        .flat_map(|scheme| admitted.iter().map(move |&scope| requirement(scheme, scope)))
        .collect();
    let challenge = json!({"description": "What is asked for (RFC 6750)", "schema": {"type": "string"}});
    let retry_after = json!({"description": "Seconds", "schema": {"type": "integer", "minimum": 1}});
    let lacking = format!("This API key lacks the scope {needed}.");
    for (status, description, header, about_header, detail) in [
        (
            "401",
            "There are API keys, and the request shows none that is valid.",
            "WWW-Authenticate",
            &challenge,
            "An API key is needed.",
        ),
        (
            "403",
            "The API key does not allow this, or a page of another origin asks that `CORS_ALLOW_ORIGINS` does not \
             name; while there are no API keys, also a `Host` that is not this machine's or in `HTTP_ALLOWED_HOSTS`.",
            "WWW-Authenticate",
            &challenge,
            &lacking,
        ),
        (
            "429",
            "The API key's rate is used up, or its share of queries, exports or event streams is under way; try again after `Retry-After` seconds.",
            "Retry-After",
            &retry_after,
            "This API key's rate is used up.",
        ),
    ] {
        operation["responses"][status] = json!({
            "description": description,
            "headers": {header: about_header},
            "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/ErrorBody"},
                "example": {"detail": detail}
            }}
        });
    }
    name_request(operation);
}
