use reqwest::{Method, RequestBuilder};

use crate::site::{Answer, Server, Site};

const PAGE: &str = "https://dashboard.example";

/// What a browser asks before a page may send a key along.
async fn asked_beforehand(server: &Server, origin: &str) -> Answer {
    let build = |request: RequestBuilder| {
        request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    server.request(Method::OPTIONS, "/sensor_data/1", build).await
}

#[tokio::test]
async fn pages_of_other_origins_may_nothing_unless_told() {
    let site = Site::start().await;
    let answer = asked_beforehand(&site.server, PAGE).await.expect(403);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    let from_page = |request: RequestBuilder| request.header("origin", PAGE);
    let answer = site.server.request(Method::GET, "/sensors", from_page).await.expect(403);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert!(answer.text.contains("CORS_ALLOW_ORIGINS"), "{}", answer.text);
    let answer = site.server.get("/sensors").await.expect(200);
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_origins_that_are_named_may() {
    let site =
        Site::start_with(&["--cors-allow-origins", "https://dashboard.example,http://localhost:3000"]).await;
    // Also where keys are demanded: this question never shows one.
    let none_holds = sensorpipe::store::keys::StoredKeys { were_made: true, keys: vec![] };
    site.server.keys.learn(none_holds);
    let answer = asked_beforehand(&site.server, PAGE).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    let answer = asked_beforehand(&site.server, "https://elsewhere.example").await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    // A page may read why it was refused.
    let from_page = |request: RequestBuilder| request.header("origin", PAGE);
    let answer = site.server.request(Method::GET, "/sensors", from_page).await.expect(401);
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
}

#[tokio::test]
async fn a_star_is_everybody() {
    let site = Site::start_with(&["--cors-allow-origins", "*"]).await;
    let answer = asked_beforehand(&site.server, "https://elsewhere.example").await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}
