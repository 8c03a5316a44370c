use std::num::NonZeroU32;

use reqwest::{Method, RequestBuilder};
use sensorpipe::{
    access::{Scope, Token},
    store::keys::{StoredKey, StoredKeys},
};
use serde_json::Value;

use crate::site::{Answer, Server, Site};

/// A key of this name and scope, and its token.
pub(crate) fn key(name: &str, scope: Scope, rate: Option<u32>) -> (String, StoredKey) {
    let token = Token::generate().unwrap();
    let (token_id, token_hash) = token.parts();
    let key = StoredKey {
        name: name.to_owned(),
        token_id,
        token_hash,
        scopes: [scope].into_iter().collect(),
        requests_per_second: rate.and_then(NonZeroU32::new),
    };
    (token.expose().to_owned(), key)
}

/// An api that demands keys, and a token for each scope.
async fn guarded() -> (Site, [(Scope, String); 3]) {
    let site = Site::start().await;
    let (tokens, keys): (Vec<_>, Vec<_>) =
        Scope::ALL.map(|scope| key(scope.as_str(), scope, None)).into_iter().unzip();
    site.server.keys.learn(StoredKeys { were_made: true, keys });
    let mut tokens = tokens.into_iter();
    (site, Scope::ALL.map(|scope| (scope, tokens.next().unwrap())))
}

fn bearing(token: &str) -> impl FnOnce(RequestBuilder) -> RequestBuilder + use<'_> {
    move |request| request.bearer_auth(token)
}

async fn get(server: &Server, path: &str, token: &str) -> Answer {
    server.request(Method::GET, path, bearing(token)).await
}

/// Method, address and needed scopes of every operation that the document guards.
fn guarded_operations(document: &Value) -> Vec<(Method, String, Vec<String>)> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let Some(choice) = operation["security"].as_array() else { continue };
            let scopes =
                choice.iter().filter_map(|one| one["bearer"][0].as_str()).map(str::to_owned).collect();
            let mut address = path.clone();
            while let Some((before, rest)) = address.split_once('{') {
                address = format!("{before}1{}", rest.split_once('}').unwrap().1);
            }
            found.push((method.to_uppercase().parse().unwrap(), address, scopes));
        }
    }
    found
}

#[tokio::test]
async fn every_guarded_operation_wants_its_scope() {
    let (site, tokens) = guarded().await;
    let server = &site.server;
    let document = server.get("/openapi.json").await.expect(200).json();
    let operations = guarded_operations(&document);
    assert!(operations.len() >= 8, "{operations:?}");
    for (method, address, scopes) in operations {
        let what = format!("{method} {address}");
        let answer = server.request(method.clone(), &address, |request| request).await.expect(401);
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="sensorpipe""#, "{what}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
        for (scope, token) in &tokens {
            if address.ends_with("/events") {
                let is_allowed = scopes.iter().any(|needed| needed == scope.as_str());
                let status = server.open(&address, bearing(token)).await.status();
                assert_eq!(status != 403, is_allowed, "{what} {scope:?}: {status}");
                continue;
            }
            let answer = server.request(method.clone(), &address, bearing(token)).await;
            if scopes.iter().any(|needed| needed == scope.as_str()) {
                assert!(![401, 403].contains(&answer.status.as_u16()), "{what} {scope:?}: {}", answer.text);
            } else {
                let answer = answer.expect(403);
                assert!(answer.header("www-authenticate").contains("insufficient_scope"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_open_stays_open() {
    let (site, _) = guarded().await;
    for path in ["/healthz", "/metrics", "/docs", "/docs/swagger-ui.css", "/redoc", "/openapi.json"] {
        site.server.get(path).await.expect(200);
    }
    site.server.get("/nowhere").await.expect(404);
}

#[tokio::test]
async fn a_wrong_key_is_told_from_none() {
    let (site, tokens) = guarded().await;
    let (stranger, _) = key("stranger", Scope::Admin, None);
    let right = &tokens[1].1;
    let altered = format!("{}{}", &right[..right.len() - 2], if right.ends_with("AA") { "BA" } else { "AA" });
    for wrong in [stranger.as_str(), &altered, "x"] {
        let answer = get(&site.server, "/sensors", wrong).await.expect(401);
        assert!(answer.header("www-authenticate").contains("invalid_token"), "{wrong}");
    }
    get(&site.server, "/sensors", right).await.expect(200);
    let by_header = |request: RequestBuilder| request.header("x-api-key", right);
    site.server.request(Method::GET, "/sensors", by_header).await.expect(200);
}

#[tokio::test]
async fn a_rate_that_is_used_up_is_429() {
    let site = Site::start().await;
    let (slow, slow_key) = key("slow", Scope::Read, Some(2));
    let (free, free_key) = key("free", Scope::Read, None);
    site.server.keys.learn(StoredKeys { were_made: true, keys: vec![slow_key, free_key] });
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = get(&site.server, "/sensors", &slow).await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "1");
        }
        statuses.push(answer.status.as_u16());
        get(&site.server, "/sensors", &free).await.expect(200);
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn until_the_keys_are_read_nobody_is_let_in() {
    let site = Site::start().await;
    let guarded = sensorpipe::http::KeyRing::default();
    assert_eq!(guarded.are_demanded(), None);
    // The site's own has learnt that there are none; a database that says so lets in, too.
    let pool = sensorpipe::store::Pool::new(&site.database.config()).unwrap();
    guarded.read(&pool).await.unwrap();
    assert_eq!(guarded.are_demanded(), Some(false));
    site.database.execute("DROP TABLE api_keys").await;
    let before_there_were_keys = sensorpipe::http::KeyRing::default();
    before_there_were_keys.read(&pool).await.unwrap();
    assert_eq!(before_there_were_keys.are_demanded(), Some(false));
}

#[tokio::test]
async fn a_request_keeps_its_name_or_gets_one() {
    let site = Site::start().await;
    let named = |name: &'static str| move |request: RequestBuilder| request.header("x-request-id", name);
    let answer = site.server.request(Method::GET, "/healthz", named("order-66:a")).await;
    assert_eq!(answer.header("x-request-id"), "order-66:a");
    for given in ["", "two words", "a\"b"] {
        let answer = site.server.request(Method::GET, "/nowhere", named(given)).await.expect(404);
        assert_eq!(answer.header("x-request-id").len(), 36, "{given}");
    }
    let (first, second) = (site.server.get("/healthz").await, site.server.get("/healthz").await);
    assert!(first.header("x-request-id") != second.header("x-request-id"));
}
