//! HTTP/1.0, in which an answer of unknown length ends where the connection does.

use crate::{raw::Raw, site::Site};

async fn get(site: &Site, path: &str, accept: &str) -> Raw {
    let mut client = Raw::connect(&site.server).await;
    client.send(format!("GET {path} HTTP/1.0\r\naccept: {accept}\r\n\r\n")).await.unwrap();
    client
}

#[tokio::test]
async fn an_export_is_refused_since_it_would_look_complete_wherever_it_ends() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for accept in ["text/csv", "application/x-ndjson"] {
        let answer = get(&site, "/sensors/1/readings", accept).await.answer().await.unwrap();
        assert_eq!(answer.status, 426, "{answer:?}");
        assert!(answer.head.contains("\r\nupgrade: http/1.1\r\n"), "{answer:?}");
        assert!(answer.head.contains("\r\nconnection: upgrade\r\n"), "{answer:?}");
        assert!(answer.body.contains("proxy_http_version 1.1"), "{answer:?}");
        site.server.get_as(accept, "/sensors/1/readings").await.expect(200);
    }
}

#[tokio::test]
async fn answers_that_show_where_they_end_are_given() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for path in ["/sensors/1/readings", "/sensors", "/healthz", "/openapi.json"] {
        let answer = get(&site, path, "application/json").await.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.head.contains("\r\ncontent-length: "), "{path}: {answer:?}");
    }
    // An event ends with an empty line, and a client whose stream broke off comes again.
    let events = get(&site, "/sensors/1/readings/events", "text/event-stream").await.answer().await.unwrap();
    assert_eq!(events.status, 200);
    assert!(events.head.contains("text/event-stream"), "{events:?}");
}
