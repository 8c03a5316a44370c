use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::site::{Answer, Site};

/// Every address that a page or a style sheet makes a browser load.
fn loaded(html: &str) -> BTreeSet<&str> {
    ["src=\"", "href=\"", "spec-url=\"", "url("]
        .iter()
        .flat_map(|start| html.split(start).skip(1))
        .map(|rest| rest.split(['"', ')']).next().unwrap())
        .collect()
}

fn is_ours(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && !policy.contains("http"), "{policy}");
    assert!(!policy.contains("script-src 'self' 'unsafe-inline'"), "{policy}");
}

#[tokio::test]
async fn the_pages_load_from_this_server_alone() {
    let site = Site::start().await;
    for page in ["/docs", "/redoc"] {
        let answer = site.server.get(page).await.expect(200);
        assert!(answer.header("content-type").starts_with("text/html"));
        is_ours(&answer);
        let addresses = loaded(&answer.text);
        assert!(addresses.len() >= 4, "{addresses:?}");
        for address in addresses {
            assert!(!address.contains("//"), "{page} loads {address}");
            let asset = site.server.get(&format!("/{address}")).await.expect(200);
            assert!(!asset.text.is_empty(), "{address}");
        }
        assert!(
            !answer.text.contains("<style") && !answer.text.contains("<script>"),
            "{page}: nothing inline"
        );
    }
    let bundle = site.server.get("/redoc/redoc.standalone.js").await.expect(200);
    assert!(bundle.text.contains("ReDoc") && !bundle.text.contains("cdn."));
    let start = site.server.get("/docs/swagger-initializer.js").await.expect(200).text;
    assert!(start.contains(r#""url": "openapi.json""#), "{start}");
    assert!(start.contains(r#""validatorUrl": "none""#) && !start.contains("http"), "{start}");
    site.server.get("/docs/nothing.js").await.expect(404);
}

#[tokio::test]
async fn the_document_has_every_route_and_status() {
    let site = Site::start().await;
    let document = site.server.get("/openapi.json").await.expect(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, method, statuses) in [
        ("/sensors", "post", &["200", "400", "408", "413", "415", "422", "503"][..]),
        ("/sensor_data/{sensor_id}", "post", &["200", "400", "404", "408", "413", "415", "422", "503"]),
        ("/readings", "post", &["202", "207", "400", "408", "413", "415", "422", "503"]),
        ("/receipts/{partition}/{offset}", "get", &["200", "404", "422", "503"]),
        ("/daily_avg/{sensor_id}", "get", &["200", "404", "422", "503"]),
        ("/sensors", "get", &["200", "422", "503"]),
        ("/sensors/bulk", "post", &["201", "400", "408", "413", "415", "422", "503"]),
        ("/sensors/{sensor_id}", "get", &["200", "404", "422", "503"]),
        ("/sensors/{sensor_id}", "patch", &["200", "400", "404", "408", "413", "415", "422", "503"]),
        ("/sensors/{sensor_id}", "delete", &["200", "404", "409", "422", "503"]),
        ("/healthz", "get", &["200", "503"]),
        ("/log-level", "get", &["200"]),
        ("/log-level", "put", &["200", "400", "408", "413", "415", "422"]),
        ("/readyz", "get", &["200", "503"]),
        ("/sensors/{sensor_id}/stats", "get", &["200", "404", "422", "503"]),
        ("/sensors/stats", "get", &["200", "422", "503"]),
        ("/sensors/{sensor_id}/readings", "get", &["200", "404", "422", "426", "503"]),
        ("/sensors/{sensor_id}/latest", "get", &["200", "404", "422", "503"]),
        ("/sensors/latest", "get", &["200", "422", "503"]),
        ("/overview", "get", &["200", "503"]),
        ("/sensors/{sensor_id}/chart", "get", &["200", "404", "422", "503"]),
        ("/dead-letters", "get", &["200", "409", "422", "503"]),
        ("/dead-letters/summary", "get", &["200", "409", "503"]),
        ("/dead-letters/{id}", "get", &["200", "404", "409", "422", "503"]),
        ("/dead-letters/{id}", "delete", &["200", "404", "409", "422", "503"]),
        ("/dead-letters/{id}/replay", "post", &["200", "404", "409", "422", "503"]),
        ("/dead-letters/replay", "post", &["200", "400", "408", "409", "413", "415", "422", "503"]),
        ("/dead-letters/discard", "post", &["200", "400", "408", "409", "413", "415", "422", "503"]),
    ] {
        let responses = &document["paths"][path][method]["responses"];
        for status in statuses {
            let content = &responses[status]["content"]["application/json"];
            assert!(content["schema"].is_object(), "{path} {status}");
        }
    }
    let text = document.to_string();
    for reference in text.split(r##""$ref":"#/components/schemas/"##).skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

/// Everything that a schema, or the one that it refers to, shows as an example.
fn has_example(document: &Value, content: &Value) -> bool {
    let name = content["schema"]["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    let schema = name.map_or(&content["schema"], |name| &document["components"]["schemas"][name]);
    let in_properties = || {
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties.into_iter().any(|(_, property)| property.get("example").is_some())
    };
    content.get("example").or(content.get("examples")).or(schema.get("example")).is_some()
        || schema["items"].is_object()
        || in_properties()
}

#[tokio::test]
async fn every_operation_says_which_key_it_needs_and_shows_examples() {
    let site = Site::start().await;
    let document = site.server.get("/openapi.json").await.expect(200).json();
    for scheme in ["bearer", "header"] {
        assert!(document["components"]["securitySchemes"][scheme].is_object());
    }
    let mut open = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let responses = &operation["responses"];
            for (status, response) in responses.as_object().unwrap() {
                assert!(response["headers"]["x-request-id"].is_object(), "{method} {path} {status}");
                for (_, content) in response["content"].as_object().unwrap() {
                    assert!(has_example(&document, content), "{method} {path} {status}");
                }
            }
            match operation["security"].as_array() {
                Some(choice) => {
                    assert!(choice.contains(&json!({"bearer": ["admin"]})), "{method} {path}");
                    assert!(!choice.contains(&json!({})), "{method} {path}");
                    for status in ["401", "403", "429"] {
                        assert!(
                            responses[status]["headers"].as_object().unwrap().len() == 2,
                            "{method} {path}"
                        );
                    }
                }
                None => {
                    open.insert(path.as_str());
                }
            }
        }
    }
    assert_eq!(open, BTreeSet::from(["/healthz", "/metrics", "/readyz"]));
    let choice = &document["paths"]["/sensor_data/{sensor_id}"]["post"]["security"];
    assert_eq!(
        *choice,
        json!([{"bearer": ["ingest"]}, {"bearer": ["admin"]}, {"header": ["ingest"]}, {"header": ["admin"]}])
    );
}

#[tokio::test]
async fn metrics_and_health_answer() {
    let site = Site::start().await;
    let answer = site.server.get("/metrics").await.expect(200);
    assert!(answer.header("content-type").starts_with("text/plain"));
    site.server.get("/healthz").await.expect(200);
}
