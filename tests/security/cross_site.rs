//! Pages of somebody else's in a browser that reaches the api, by its address or, with DNS rebinding, by their own name.

use reqwest::{Method, StatusCode};
use testbed::{TestDatabase, TestTopic, comes_to};

use crate::{
    PATIENCE,
    abuse::api,
    service::{Api, role, run},
};

const EVIL: (&str, &str) = ("origin", "http://evil.example");
const JSON: (&str, &str) = ("content-type", "application/json");
/// Each with a body that is right, where it takes one.
const WRITES: [(&str, &str, &str); 12] = [
    ("POST", "/sensors", r#"{"sensor_type":"t"}"#),
    ("POST", "/sensors/bulk", r#"{"sensors":[{"sensor_type":"t"}]}"#),
    ("PATCH", "/sensors/1", r#"{"location":"evil"}"#),
    ("DELETE", "/sensors/1", ""),
    ("POST", "/readings", r#"[{"sensor_id":1,"value":666}]"#),
    ("POST", "/sensor_data/1", r#"{"value":666}"#),
    ("POST", "/dead-letters/discard", r#"{"filter":{}}"#),
    ("POST", "/dead-letters/replay", r#"{"filter":{}}"#),
    ("POST", "/dead-letters/1/replay", ""),
    ("DELETE", "/dead-letters/1", ""),
    ("PUT", "/log-level", r#"{"level":"off"}"#),
    ("POST", "/nowhere", ""),
];
const READS: [&str; 9] = [
    "/sensors",
    "/sensors/1/readings",
    "/overview",
    "/overview/events",
    "/dead-letters",
    "/",
    "/docs",
    "/docs/swagger-ui.css",
    "/openapi.json",
];

/// The status of a request with these headers; an answer without an end is not read.
async fn status(api: &Api, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let method: Method = method.parse().unwrap();
    let request = api.client.request(method, format!("{}{path}", api.url)).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    let status = answer.status();
    if status == StatusCode::FORBIDDEN {
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(r#"{"detail":""#), "{path}: {text}");
    }
    status.as_u16()
}

/// What a page would have wanted to change.
async fn untouched(database: &TestDatabase, topic: &TestTopic) {
    let written = "SELECT count(*) FROM sensors WHERE sensor_id = 1 AND location IS DISTINCT FROM 'evil'";
    assert_eq!(database.number(written).await, 1);
    assert_eq!(database.number("SELECT count(*) FROM sensors").await, 1, "no sensor is made");
    let records: i64 = topic.watermarks().await.iter().map(|(first, next)| next - first).sum();
    assert_eq!(records, 0, "no reading is sent");
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_reads_nothing() {
    let (api, database, topic) = api(&[]).await;
    for origin in
        ["http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://localhost:3000"]
    {
        for (method, path, body) in WRITES {
            // As `no-cors` sends it, which asks nobody beforehand, and as it would come with a content type.
            for headers in [&[("origin", origin)][..], &[("origin", origin), JSON]] {
                assert_eq!(status(&api, method, path, headers, body).await, 403, "{method} {path} {origin}");
            }
        }
        for path in READS {
            assert_eq!(status(&api, "GET", path, &[("origin", origin)], "").await, 403, "{path} {origin}");
        }
    }
    // The browser itself says that it is so, with an origin or without.
    let cross_site = ("sec-fetch-site", "cross-site");
    for (method, path, body) in WRITES {
        assert_eq!(status(&api, method, path, &[cross_site, JSON], body).await, 403, "{method} {path}");
    }
    for path in READS {
        assert_eq!(status(&api, "GET", path, &[cross_site], "").await, 403, "{path}");
    }
    untouched(&database, &topic).await;
    // Who follows a link to a page of ours sees it.
    let navigation = [cross_site, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    for (path, expected) in [("/", 200), ("/docs", 200), ("/redoc", 200), ("/sensors", 403)] {
        assert_eq!(status(&api, "GET", path, &navigation, "").await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_name_that_is_rebound_to_the_api_changes_nothing_and_reads_nothing() {
    let (api, database, topic) = api(&[]).await;
    let port = api.address().rsplit(':').next().unwrap();
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.1.2.3", "0.0.0.0"] {
        let host = format!("{host}:{port}");
        // To the browser it is one origin.
        let headers = [("host", host.as_str()), ("origin", &format!("http://{host}"))];
        for (method, path, body) in WRITES {
            assert_eq!(
                status(&api, method, path, &[&headers[..], &[JSON]].concat(), body).await,
                403,
                "{path}"
            );
        }
        for path in READS {
            assert_eq!(status(&api, "GET", path, &headers[..1], "").await, 403, "{host} {path}");
        }
    }
    for host in ["", "a b", "evil.example, localhost", "localhost:x", "me@localhost"] {
        let request = format!("GET /sensors HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = api.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{host}: {answer}");
    }
    for hosts in ["", "host: localhost\r\nhost: evil.example\r\n", "host: localhost\r\nhost: localhost\r\n"] {
        let request = format!("GET /sensors HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = api.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{hosts}: {answer}");
    }
    let target = "GET http://evil.example/sensors HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = api.exchange(target.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("HTTP_ALLOWED_HOSTS"), "{answer}");
    untouched(&database, &topic).await;
}

#[tokio::test]
async fn our_own_pages_and_programs_go_on() {
    let (api, database, _topic) = api(&[]).await;
    let port = api.address().rsplit(':').next().unwrap();
    let sensor = r#"{"sensor_type":"t"}"#;
    let mut sensors = 1;
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]", "sensors.localhost"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            let called = ("host", host.as_str());
            assert_eq!(status(&api, "GET", "/sensors", &[called], "").await, 200, "{host}");
            let own = ("origin", &*format!("http://{host}"));
            assert_eq!(status(&api, "POST", "/sensors", &[called, own, JSON], sensor).await, 200, "{host}");
            sensors += 1;
        }
    }
    // A body without a content type is a program's, and JSON as it was before; a browser says what it sends.
    assert_eq!(status(&api, "POST", "/sensors", &[], sensor).await, 200);
    sensors += 1;
    let own = [("origin", &*api.url), ("sec-fetch-site", "same-origin")];
    for headers in [&own[..1], &own[1..], &own[..]] {
        for (path, body) in [("/sensors", sensor), ("/readings", r#"[{"sensor_id":1,"value":1}]"#)] {
            assert_eq!(status(&api, "POST", path, headers, body).await, 415, "{path} {headers:?}");
        }
    }
    assert_eq!(database.number("SELECT count(*) FROM sensors").await, sensors);
    // By the pod's address.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(status(&api, "GET", path, &[("host", "10.1.2.3:8080")], "").await, 200, "{path}");
        assert_eq!(status(&api, "GET", path, &[("host", "evil.example")], "").await, 403, "{path}");
    }
}

#[tokio::test]
async fn hosts_and_origins_that_are_named_pass() {
    let named =
        [("HTTP_ALLOWED_HOSTS", "sensors.example,api"), ("CORS_ALLOW_ORIGINS", "https://dashboard.example")];
    let (api, _database, _topic) = api(&named).await;
    for (host, expected) in
        [("sensors.example", 200), ("api:8080", 200), ("other.example", 403), ("10.1.2.3", 403)]
    {
        assert_eq!(status(&api, "GET", "/sensors", &[("host", host)], "").await, expected, "{host}");
    }
    for (origin, expected) in [("https://dashboard.example", 200), ("https://evil.example", 403)] {
        let headers = [("origin", origin), ("sec-fetch-site", "cross-site"), JSON];
        let sensor = r#"{"sensor_type":"t"}"#;
        assert_eq!(status(&api, "POST", "/sensors", &headers, sensor).await, expected, "{origin}");
    }
}

#[tokio::test]
async fn an_api_that_is_open_on_purpose_is_called_by_its_addresses() {
    let (api, _database, _topic) = api(&[("ALLOW_ANONYMOUS", "yes")]).await;
    for (host, expected) in [
        ("10.1.2.3:8080", 200),
        ("[2001:db8::1]", 200),
        ("localhost", 200),
        ("evil.example", 403),
        ("api", 403),
    ] {
        assert_eq!(status(&api, "GET", "/sensors", &[("host", host)], "").await, expected, "{host}");
    }
    assert_eq!(status(&api, "POST", "/sensors", &[EVIL, JSON], r#"{"sensor_type":"t"}"#).await, 403);
}

#[tokio::test]
async fn with_keys_any_name_may_be_the_apis_and_origins_are_held_to_the_list() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let create = role(&["keys", "create", "--name", "all", "--scope", "admin"]).database(&database);
    let (_, token) = run(create).await;
    let key = ("x-api-key", token.lines().next().unwrap());
    let api = Api::start(&database, &topic, &[]).await;
    comes_to("with the key", PATIENCE, 200, async || status(&api, "GET", "/sensors", &[key], "").await).await;
    let called = ("host", "sensors.example");
    assert_eq!(status(&api, "GET", "/sensors", &[called, key], "").await, 200);
    assert_eq!(status(&api, "GET", "/sensors", &[called], "").await, 401);
    let sensor = r#"{"sensor_type":"t"}"#;
    for (origin, expected) in [
        ("https://sensors.example", 200),
        ("http://sensors.example", 200),
        ("http://evil.example", 403),
        ("null", 403),
    ] {
        let headers = [called, ("origin", origin), JSON, key];
        assert_eq!(status(&api, "POST", "/sensors", &headers, sensor).await, expected, "{origin}");
    }
    // A proxy may add a key, and may call the api by another name than browsers call the proxy.
    assert_eq!(status(&api, "POST", "/sensors", &[EVIL, key], sensor).await, 403);
    let proxied = [("origin", "https://elsewhere.example"), ("sec-fetch-site", "same-origin"), JSON, key];
    assert_eq!(status(&api, "POST", "/sensors", &proxied, sensor).await, 200);
}
