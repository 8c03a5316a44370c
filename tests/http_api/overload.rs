//! More than is let in.

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    packed::packed,
    site::{Answer, Site},
};

/// A request that has been let in and does not go on.
async fn stalled(site: &Site, path: &str, body: &[u8]) -> TcpStream {
    stalled_of(site, path, body, 1_000).await
}

/// The same of a body of so many bytes.
async fn stalled_of(site: &Site, path: &str, body: &[u8], length: usize) -> TcpStream {
    let mut client = TcpStream::connect(site.server.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // One that is turned away may be closed before it has sent everything.
    let _ = client.write_all(body).await;
    client
}

fn is_turned_away(answer: &Answer) -> bool {
    assert!(matches!(answer.status.as_u16(), 200 | 503), "{}", answer.text);
    let is_away = answer.status == 503;
    if is_away {
        assert_eq!(answer.header("retry-after"), "1");
        assert!(answer.text.contains("Nothing was stored."), "{}", answer.text);
    }
    is_away
}

#[tokio::test]
async fn requests_under_way_have_a_bound() {
    let site = Site::start_with(&["--test-http-max-in-flight", "1"]).await;
    site.database.add_sensors(1).await;
    for path in ["/sensor_data/1", "/readings"] {
        let body = br#"[{"sensor_id":1,"#;
        let mut first = stalled(&site, path, body).await;
        let post = async || site.server.post("/sensor_data/1", r#"{"value":1}"#).await;
        testbed::eventually(crate::site::PATIENCE, async || is_turned_away(&post().await)).await;
        // What brings no readings goes on.
        site.server.get("/daily_avg/1").await.expect(404);
        first.write_all(&vec![b' '; 1_000 - body.len()]).await.unwrap();
        let mut answer = String::new();
        first.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(!is_turned_away(&post().await), "there is room again");
        // A client that goes away leaves its room, too.
        let second = stalled(&site, path, body).await;
        testbed::eventually(crate::site::PATIENCE, async || is_turned_away(&post().await)).await;
        drop(second);
        testbed::eventually(crate::site::PATIENCE, async || !is_turned_away(&post().await)).await;
    }
}

#[tokio::test]
async fn bodies_held_have_a_bound() {
    // More than fit, and each less than what is sent besides: it does not fit into what they leave.
    const STALLED: usize = 60;
    const STALLED_BYTES: usize = 200_000;
    const LARGE_BYTES: usize = 500_000;
    let flags = ["--test-http-max-held-bytes", "10000000", "--http-max-body-bytes", "1000000"];
    let site = Site::start_with(&flags).await;
    site.database.add_sensors(1).await;
    let large = format!(r#"{{"value":1,"padding":"{}"}}"#, "x".repeat(LARGE_BYTES));
    let post = async || site.server.post("/sensor_data/1", large.clone()).await;
    post().await.expect(200);
    let body = vec![b' '; STALLED_BYTES - 1];
    let stalled = (0..STALLED).map(|_| stalled_of(&site, "/sensor_data/1", &body, STALLED_BYTES));
    let clients = join_all(stalled).await;
    testbed::eventually(crate::site::PATIENCE, async || post().await.status == 503).await;
    drop(clients);
    testbed::eventually(crate::site::PATIENCE, async || post().await.status == 200).await;
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_taken_however_it_is_packed() {
    const BODY_BYTES: usize = 1_000_000;
    let flags = ["--test-http-max-held-bytes", "1000", "--http-max-body-bytes", "1000000"];
    let site = Site::start_with(&flags).await;
    site.database.add_sensors(1).await;
    let body = format!(r#"{{"value":1,"padding":"{}"}}"#, "x".repeat(BODY_BYTES - 50));
    site.server.post("/sensor_data/1", body.clone()).await.expect(200);
    for coding in ["gzip", "zstd"] {
        let headers = [("content-encoding", coding)];
        let packed = packed(coding, body.as_bytes()).await;
        site.server.send("/sensor_data/1", &headers, packed).await.expect(200);
    }
}

#[tokio::test]
async fn the_rate_has_a_bound() {
    let site = Site::start_with(&["--http-max-rate", "20"]).await;
    site.database.add_sensors(1).await;
    let one = async || is_turned_away(&site.server.post("/sensor_data/1", r#"{"value":1}"#).await);
    let answers = join_all((0..100).map(|_| one())).await;
    let accepted = answers.iter().filter(|is_away| !**is_away).count() as i64;
    assert!((1..100).contains(&accepted), "{accepted} of 100");
    assert_eq!(site.records().await, accepted, "what was turned away is nowhere");
    testbed::eventually(crate::site::PATIENCE, async || !one().await).await;
}
