//! Documents that are the same for everybody cost their transfer, and nothing for each request besides.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::{PATIENCE, abuse::api};

/// What a browser loads of them, and what a program asks for.
const FILES: [&str; 3] = ["/redoc/redoc.standalone.js", "/docs/swagger-ui-bundle.js", "/openapi.json"];
const REQUESTS_AT_A_TIME: usize = 10;
const ROUNDS: usize = 20;
/// Of a debug build, sending included; to compress each anew takes some 20 ms of a release build.
const PROCESSOR_TIME_MAX: Duration = Duration::from_millis(2);

/// Who asks and goes away at once, before anybody has had the document.
#[tokio::test]
async fn a_document_is_compressed_once_though_nobody_waits_for_it() {
    const CLIENTS: u32 = 200;
    let (api, _database, _topic) = api(&[]).await;
    let ask = async |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n");
        let mut client = api.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        // Until it has been read.
        sleep(Duration::from_millis(2)).await;
    };
    let spent = async |path: &str, clients: u32| {
        let before = api.processor_time();
        for _ in 0..clients {
            ask(path).await;
        }
        // Whatever is under way by then ends.
        sleep(Duration::from_secs(2)).await;
        api.processor_time().saturating_sub(before)
    };
    let once = spent("/redoc/redoc.standalone.js", 1).await;
    let by_many = spent("/docs/swagger-ui-bundle.js", CLIENTS).await;
    assert!(by_many < once * 5 + PROCESSOR_TIME_MAX * CLIENTS, "{by_many:?} for all, {once:?} for one");
    assert!(once > Duration::from_millis(10), "{once:?}: was it compressed at all?");
}

#[tokio::test]
async fn a_document_is_compressed_once_and_not_for_each_request() {
    let (api, _database, _topic) = api(&[]).await;
    let get = async |path: &str| {
        let request = api.client.get(format!("{}{path}", api.url)).header("accept-encoding", "gzip");
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-encoding"], "gzip", "{path}");
        assert_eq!(answer.headers()["vary"], "accept-encoding", "{path}");
        answer.bytes().await.unwrap().len()
    };
    for path in FILES {
        let length = get(path).await;
        let before = api.processor_time();
        for _ in 0..ROUNDS {
            let lengths = join_all((0..REQUESTS_AT_A_TIME).map(|_| get(path))).await;
            assert_eq!(lengths, [length; REQUESTS_AT_A_TIME], "{path}");
        }
        let spent = api.processor_time().saturating_sub(before) / (ROUNDS * REQUESTS_AT_A_TIME) as u32;
        assert!(spent < PROCESSOR_TIME_MAX, "{path}: {spent:?} of a processor for each request");
    }
}
