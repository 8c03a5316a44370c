//! Bodies packed with gzip and zstd.

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::site::Site;

pub(crate) async fn packed(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    match coding {
        "zstd" => ZstdEncoder::new(body).read_to_end(&mut packed).await.unwrap(),
        _ => GzipEncoder::new(body).read_to_end(&mut packed).await.unwrap(),
    };
    packed
}

fn lines(count: usize) -> String {
    let line = |n| format!(r#"{{"sensor_id":1,"value":{n},"timestamp":{}}}"#, 1_728_743_340 + n) + "\n";
    (0..count).map(line).collect()
}

#[tokio::test]
async fn packed_bodies_are_taken_by_both_routes() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let ndjson = ("content-type", "application/x-ndjson");
    for coding in ["gzip", "zstd", "x-gzip"] {
        let one = packed(coding, br#"{"value":23.5,"timestamp":"2024-10-12T14:29:00Z"}"#).await;
        let headers = [("content-encoding", coding)];
        let answer = site.server.send("/sensor_data/1", &headers, one).await.expect(200).json();
        let (_, record) = site.record(&answer["receipt"]).await;
        assert_eq!(record["value"], 23.5);

        let many = packed(coding, lines(10_000).as_bytes()).await;
        let answer = site.server.send("/readings", &[headers[0], ndjson], many).await.expect(202).json();
        assert_eq!(answer["accepted"], 10_000, "{coding}");
    }
    // Two members are one body, as gzip itself has it.
    let two =
        [packed("gzip", lines(10).as_bytes()).await, packed("gzip", lines(10).as_bytes()).await].concat();
    let answer =
        site.server.send("/readings", &[("content-encoding", "gzip"), ndjson], two).await.expect(202);
    assert_eq!(answer.json()["accepted"], 20);
}

#[tokio::test]
async fn what_would_unpack_past_the_limit_is_413() {
    let site = Site::start_with(&["--http-max-body-bytes", "100000"]).await;
    site.database.add_sensors(1).await;
    for coding in ["gzip", "zstd"] {
        let bomb = packed(coding, &vec![b' '; 50_000_000]).await;
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        for path in ["/sensor_data/1", "/readings"] {
            let answer =
                site.server.send(path, &[("content-encoding", coding)], bomb.clone()).await.expect(413);
            assert!(answer.json()["detail"].as_str().unwrap().contains("100000"));
        }
    }
    // Nothing comes out of empty members, and there is an end to them all the same.
    let empty = packed("gzip", b"").await.repeat(10_000);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(empty)]));
    site.server.send("/readings", &[("content-encoding", "gzip")], body).await.expect(413);
    assert_eq!(site.records().await, 0);
}

#[tokio::test]
async fn what_cannot_be_unpacked_is_told() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for path in ["/sensor_data/1", "/readings"] {
        for coding in ["br", "gzip, zstd", "deflate"] {
            let answer = site.server.send(path, &[("content-encoding", coding)], "x").await.expect(415);
            assert_eq!(answer.header("accept-encoding"), "gzip, zstd, identity");
        }
        for coding in ["gzip", "zstd"] {
            site.server.send(path, &[("content-encoding", coding)], r#"{"value":1}"#).await.expect(400);
        }
    }
    let whole = packed("gzip", lines(20_000).as_bytes()).await;
    let headers = [("content-encoding", "gzip"), ("content-type", "application/x-ndjson")];
    let half = whole[..whole.len() / 2].to_vec();
    let answer = site.server.send("/readings", &headers, half).await.expect(400).json();
    let accepted = answer["accepted"].as_u64().unwrap();
    assert!((1..20_000).contains(&accepted), "{answer}");
    assert_eq!(answer["failed"], json!(0), "half a line is no item");
}
