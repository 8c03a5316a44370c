//! Answers that are given before the request's body is read: they reach the client, and the connection's time is bounded.

use std::{
    io,
    time::{Duration, Instant},
};

use sensorpipe::{access::Scope, store::keys::StoredKeys};

use crate::{
    access::key,
    raw::{Raw, RawAnswer},
    site::{PATIENCE, Site},
};

/// More than the sockets of both sides hold.
const LARGE: usize = 44_000_000;
const SMALL: usize = 50_000;
/// More than is discarded.
const TOO_LARGE: usize = 200_000_000;

/// A request that is refused for what stands in its head.
struct Refused {
    status: u16,
    line: &'static str,
    headers: String,
}

impl Refused {
    fn head(&self, length: usize) -> String {
        let Self { line, headers, .. } = self;
        format!("{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n")
    }

    /// Sends everything before it reads anything.
    async fn answer(&self, client: &mut Raw, length: usize) -> io::Result<RawAnswer> {
        client.send(self.head(length)).await?;
        client.send(vec![b' '; length]).await?;
        client.answer().await
    }
}

/// An api that refuses in each of these ways; the connection takes the only place for requests with readings.
async fn refusing() -> (Site, Raw, Vec<Refused>) {
    let flags = [
        "--http-max-body-bytes",
        "10000",
        "--test-http-max-in-flight",
        "1",
        "--test-http-request-timeout",
        "10m",
    ];
    let site = Site::start_with(&flags).await;
    let (admin, admin_key) = key("admin", Scope::Admin, None);
    let (reader, reader_key) = key("reader", Scope::Read, None);
    let (slow, slow_key) = key("slow", Scope::Read, Some(1));
    site.server.keys.learn(StoredKeys { were_made: true, keys: vec![admin_key, reader_key, slow_key] });
    let refused = |status, line, token: &str, content_type: &str| {
        let headers = format!("x-api-key: {token}\r\ncontent-type: {content_type}\r\n");
        Refused { status, line, headers }
    };
    let json = "application/json";
    let all = vec![
        refused(401, "POST /sensor_data/1", "wrong", json),
        refused(403, "POST /sensor_data/1", &reader, json),
        refused(404, "POST /nowhere", &admin, json),
        refused(405, "PUT /sensor_data/1", &admin, json),
        refused(413, "POST /sensors", &admin, json),
        refused(415, "POST /sensors", &admin, "text/plain"),
        // It is refused either way: once a second for want of the scope.
        refused(429, "POST /sensor_data/1", &slow, json),
        refused(503, "POST /readings", &admin, json),
    ];
    let mut inside = Raw::connect(&site.server).await;
    let head = "POST /readings HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nx-api-key: ";
    inside.send(format!("{head}{admin}\r\n\r\n[")).await.unwrap();
    testbed::eventually(PATIENCE, async || {
        let mut probe = Raw::connect(&site.server).await;
        all.last().unwrap().answer(&mut probe, 1).await.unwrap().status == 503
    })
    .await;
    (site, inside, all)
}

#[tokio::test]
async fn the_answer_reaches_a_client_that_sends_a_large_body_first() {
    let (site, _inside, all) = refusing().await;
    for refused in &all {
        let status = refused.status;
        let mut client = Raw::connect(&site.server).await;
        let answer = refused.answer(&mut client, LARGE).await;
        let answer = answer.unwrap_or_else(|error| panic!("{status}: {error}"));
        assert!(answer.status == status || (status, answer.status) == (429, 403), "{status}: {answer:?}");
        assert!(answer.body.starts_with(r#"{"detail":"#), "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_goes_on_after_a_small_body_that_nobody_read() {
    let (site, _inside, all) = refusing().await;
    for refused in &all {
        let status = refused.status;
        for _ in 0..40 {
            let mut client = Raw::connect(&site.server).await;
            let answer = refused.answer(&mut client, SMALL).await;
            let answer = answer.unwrap_or_else(|error| panic!("{status}: {error}"));
            assert!(answer.status == status || (status, answer.status) == (429, 403), "{status}: {answer:?}");
            client.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            assert_eq!(client.answer().await.unwrap().status, 200, "the next request, after {status}");
        }
    }
}

#[tokio::test]
async fn what_a_handler_leaves_of_a_body_is_discarded_too() {
    let site = Site::start_with(&["--http-max-body-bytes", "10000"]).await;
    let mut client = Raw::connect(&site.server).await;
    let head = "POST /readings HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(head).await.unwrap();
    let chunk = format!("186a0\r\n{}\r\n", " ".repeat(100_000));
    client.send(chunk.repeat(20)).await.unwrap();
    client.send("0\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 413);
    client.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_not_asked_for_its_body() {
    let site = Site::start_with(&["--http-max-body-bytes", "10000"]).await;
    let head = format!(
        "POST /sensors HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    let mut waiting = Raw::connect(&site.server).await;
    waiting.send(&head).await.unwrap();
    assert_eq!(waiting.answer().await.unwrap().status, 413, "and nothing before it");
    assert!(waiting.rest().await.is_empty());
    // One that announces it and does not wait gets its answer as well.
    let mut impatient = Raw::connect(&site.server).await;
    impatient.send(&head).await.unwrap();
    impatient.send(vec![b' '; LARGE]).await.unwrap();
    assert_eq!(impatient.answer().await.unwrap().status, 413);
}

#[tokio::test]
async fn the_answer_to_a_malformed_head_reaches_a_client_that_sends_its_body() {
    let site = Site::start().await;
    let mut client = Raw::connect(&site.server).await;
    client.send("POST /sensors HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n").await.unwrap();
    client.send(vec![b' '; LARGE]).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 400);
}

#[tokio::test]
async fn a_body_without_end_is_not_discarded_for_ever() {
    let site = Site::start_with(&["--http-max-body-bytes", "10000", "--http-idle-timeout", "1s"]).await;
    // Too much of it.
    let mut client = Raw::connect(&site.server).await;
    let head = format!("POST /sensors HTTP/1.1\r\nhost: localhost\r\ncontent-length: {TOO_LARGE}\r\n\r\n");
    client.send(&head).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 413);
    assert!(client.send(vec![b' '; TOO_LARGE]).await.is_err(), "it is closed before all of it is sent");
    // Nothing more of it.
    let mut client = Raw::connect(&site.server).await;
    client.send(&head).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 413);
    assert!(client.rest().await.is_empty());
    // A little of it again and again.
    let mut client = Raw::connect(&site.server).await;
    client.send(&head).await.unwrap();
    testbed::eventually(PATIENCE, async || client.send(" ").await.is_err()).await;
}

#[tokio::test]
async fn a_process_that_stops_does_not_wait_for_the_rest_of_a_body() {
    let site = Site::start_with(&["--http-max-body-bytes", "10000"]).await;
    let mut client = Raw::connect(&site.server).await;
    let head = format!("POST /sensors HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGE}\r\n\r\n");
    client.send(head).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 413);
    let started = Instant::now();
    site.server.stopped().await;
    // It would be cut off after 5 s.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(client.rest().await.is_empty());
}
