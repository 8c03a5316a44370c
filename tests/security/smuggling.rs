//! Requests that a proxy in front might read as another number of requests than the api does.

use testbed::{TestDatabase, TestTopic};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{PATIENCE, service::Api};

/// Statuses of all that comes back until the connection is closed.
async fn statuses(api: &Api, request: &str) -> Vec<u16> {
    let mut client = TcpStream::connect(api.address()).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, client.read_to_end(&mut bytes)).await.expect("the connection is closed");
    let text = String::from_utf8_lossy(&bytes);
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn one_request_is_never_two() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let api = Api::start(&database, &topic, &[("HTTP_IDLE_TIMEOUT", "1s".to_owned())]).await;
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let post = |headers: &str, body: &str| {
        format!("POST /sensors HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n\r\n{body}")
    };
    let chunked = format!("2\r\n{{}}\r\n0\r\n\r\n{smuggled}");

    // Where both are there, chunks count (RFC 9112, 6.3): what follows the last chunk is the next request, whatever the
    // length says, and so for every reader that keeps to the RFC; or the connection ends, and it is none.
    let length = chunked.len();
    for headers in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}"),
        "transfer-encoding: chunked\r\ncontent-length: 2".to_owned(),
    ] {
        let answered = statuses(&api, &post(&headers, &chunked)).await;
        assert!([&[422][..], &[422, 200]].contains(&&*answered), "{headers}: {answered:?}");
    }
    // What has no one meaning is refused, and nothing after it is read.
    for (headers, body) in [
        ("content-length: 2\r\ncontent-length: 5", "{}"),
        ("content-length: 2, 5", "{}"),
        ("content-length: +2", "{}"),
        ("content-length: -2", "{}"),
        ("content-length: 18446744073709551618", "{}"),
        ("transfer-encoding: xchunked", "2\r\n{}\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked, identity", "2\r\n{}\r\n0\r\n\r\n"),
        ("transfer-encoding : chunked", "2\r\n{}\r\n0\r\n\r\n"),
        ("x: 1\r\n folded: 1\r\ncontent-length: 2", "{}"),
        ("content-length: 2\r\nx: a\0b", "{}"),
        ("transfer-encoding: chunked", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "-2\r\n{}\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "2\n{}\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "2\r\n{}xx0\r\n\r\n"),
    ] {
        let answered = statuses(&api, &(post(headers, body) + smuggled)).await;
        assert_eq!(answered, [400], "{headers:?} {body:?}");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_one_by_one() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let api = Api::start(&database, &topic, &[("HTTP_IDLE_TIMEOUT", "1s".to_owned())]).await;
    let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut client = TcpStream::connect(api.address()).await.unwrap();
    let (mut from, mut to) = client.split();
    let requests = request.repeat(5_000);
    let mut bytes = Vec::new();
    let (sent, _) =
        tokio::join!(to.write_all(requests.as_bytes()), timeout(PATIENCE, from.read_to_end(&mut bytes)));
    sent.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes).matches("HTTP/1.1 200").count(), 5_000);
    assert!(api.process.peak_memory_mib() < 200);
}
