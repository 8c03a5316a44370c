//! The api's memory while it is attacked stays below what its pod may have, whatever is sent: the peak is the process's own
//! `VmHWM`, also of a debug build.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt as _, future::join_all, stream};
use reqwest::StatusCode;
use testbed::eventually;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::{PATIENCE, abuse::api, service::Api};

/// `resources.limits.memory` of `deploy/kubernetes/base/api.yaml`.
const POD_MIB: u64 = 384;
const CONNECTIONS: usize = 4_000;
/// A debug build takes its time over millions of items.
const DEBUG_PATIENCE: Duration = Duration::from_secs(120);
const CONNECTING_AT_A_TIME: usize = 200;

/// Clients that send these bytes and then nothing, their connections open.
async fn stalled(api: &Api, clients: usize, request: &[u8]) -> Vec<TcpStream> {
    rlimit::increase_nofile_limit(u64::MAX).expect("a process may raise its soft limit");
    let client = async |_| {
        let mut client = api.connect().await;
        // One that is refused is answered, and closed, before it has sent everything.
        let _ = timeout(PATIENCE, client.write_all(request)).await;
        client
    };
    stream::iter(0..clients).map(client).buffer_unordered(CONNECTING_AT_A_TIME).collect().await
}

/// Once all that was sent has been looked at, others are served, and the peak is below the limit.
async fn holds(api: &Api, attack: &str) {
    const CALM_LOOKS: usize = 10;
    let (mut before, mut calm_looks) = (None, 0);
    eventually(DEBUG_PATIENCE, async || {
        let now = Some((api.unread_bytes(), api.process.peak_memory_mib()));
        calm_looks = if now == before { calm_looks + 1 } else { 0 };
        before = now;
        calm_looks >= CALM_LOOKS
    })
    .await;
    eventually(PATIENCE, async || api.get("/healthz").await.0.is_some_and(|status| status == 200)).await;
    let peak = api.process.peak_memory_mib();
    eprintln!("{attack}: {peak} MiB at most");
    assert!(peak < POD_MIB, "{attack}: {peak} MiB, and the pod may have {POD_MIB}");
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What the api answers to a body that is packed with gzip.
pub(crate) async fn post_packed(api: &Api, path: &str, packed: &[u8]) -> (Option<StatusCode>, String) {
    let request = api.client.post(format!("{}{path}", api.url)).header("content-encoding", "gzip");
    let request = request.header("content-type", "application/json").timeout(DEBUG_PATIENCE);
    Api::answer(request.body(packed.to_vec())).await
}

fn post(path: &str, headers: &str, content_length: usize) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\
         content-length: {content_length}\r\n\r\n"
    );
    head.into_bytes()
}

#[tokio::test]
async fn heads_that_do_not_end_fit_into_a_pod() {
    let (api, _database, _topic) = api(&[]).await;
    for bytes in [60_000, 24_000] {
        let head = format!(
            "GET /{} HTTP/1.1\r\nhost: localhost\r\nx: {}",
            "a".repeat(8_000),
            "b".repeat(bytes - 8_050)
        );
        let clients = stalled(&api, CONNECTIONS, head.as_bytes()).await;
        holds(&api, &format!("{CONNECTIONS} heads of {bytes} bytes")).await;
        drop(clients);
    }
    // The buffer that a body has grown stays with its connection.
    let body =
        [post("/nowhere", "", 300_000), vec![b' '; 300_000], b"GET / HTTP/1.1\r\nx: ".to_vec()].concat();
    let clients = stalled(&api, CONNECTIONS, &[body, vec![b'a'; 24_000]].concat()).await;
    holds(&api, &format!("{CONNECTIONS} heads after bodies")).await;
    drop(clients);
}

#[tokio::test]
async fn lists_of_sensors_that_are_none_fit_into_a_pod() {
    let (api, database, _topic) = api(&[]).await;
    let zeros = "0,".repeat((4 << 20) / 2 - 20);
    let zeros = zeros.trim_end_matches(',');
    for (path, body) in [
        ("/sensors/bulk", format!(r#"{{"sensors":[{zeros}]}}"#)),
        ("/sensors/bulk", format!(r#"{{"sensors":[[{zeros}]]}}"#)),
        ("/sensors/bulk", format!(r#"{{"sensors":[],"x":[{zeros}]}}"#)),
    ] {
        let packed = gzip(body.as_bytes());
        assert!(packed.len() < 10_000, "{}", packed.len());
        for (status, answer) in join_all((0..40).map(|_| post_packed(&api, path, &packed))).await {
            let status = status.map(|status| status.as_u16());
            assert!(matches!(status, Some(422 | 503)), "{status:?} {answer}");
            assert!(answer.len() < 20_000, "{} bytes come back", answer.len());
        }
    }
    assert_eq!(database.number("SELECT count(*) FROM sensors").await, 1);
    holds(&api, "lists of 2 million sensors, 40 at a time").await;
}

#[tokio::test]
async fn sensors_that_wait_for_the_database_fit_into_a_pod() {
    let (api, database, _topic) = api(&[]).await;
    let locks = database.hold("LOCK TABLE sensors IN ACCESS EXCLUSIVE MODE").await;
    let body = format!(r#"{{"sensor_type":"t","x":[{}0]}}"#, "0,".repeat(32_000));
    let request = [post("/sensors", "", body.len()), body.into_bytes()].concat();
    let clients = stalled(&api, 2_000, &request).await;
    holds(&api, "2,000 sensors with 64 KB of zeros, waiting").await;
    drop((clients, locks));
}

#[tokio::test]
async fn lists_of_readings_that_are_none_fit_into_a_pod() {
    let (api, _database, topic) = api(&[]).await;
    let body = format!("[{}0]", "0,".repeat((4 << 20) / 2 - 10));
    let packed = gzip(body.as_bytes());
    assert!(packed.len() < 20_000, "{}", packed.len());
    for (status, answer) in join_all((0..8).map(|_| post_packed(&api, "/readings", &packed))).await {
        let status = status.map(|status| status.as_u16());
        // A debug build may not get to the end in time.
        assert!(matches!(status, Some(408 | 413 | 503)), "{status:?} {answer}");
        assert!(answer.len() < 20_000, "{} bytes come back", answer.len());
    }
    assert_eq!(topic.watermarks().await, [(0, 0)]);
    holds(&api, "lists of 2 million readings, 8 at a time").await;
}

#[tokio::test]
async fn bombs_fit_into_a_pod() {
    let (api, _database, _topic) = api(&[]).await;
    let packed = gzip(&vec![b' '; 200 << 20]);
    for path in ["/readings", "/sensor_data/1", "/sensors/bulk"] {
        for (status, answer) in join_all((0..40).map(|_| post_packed(&api, path, &packed))).await {
            let status = status.map(|status| status.as_u16());
            assert!(matches!(status, Some(408 | 413 | 503)), "{path}: {status:?} {answer}");
        }
    }
    holds(&api, "bombs of 200 MB, 40 at a time").await;
}

#[tokio::test]
async fn bodies_that_do_not_end_fit_into_a_pod() {
    let (api, _database, _topic) = api(&[]).await;
    let item = r#"{"value":1,"timestamp":1793491200},"#;
    for path in ["/sensor_data/1", "/readings", "/sensors/bulk"] {
        for items in [400, 800, 1_700] {
            let body = format!(r#"{{"data":[{}"#, item.repeat(items));
            let request = [post(path, "", 16_000_000), body.into_bytes()].concat();
            let clients = stalled(&api, CONNECTIONS, &request).await;
            holds(&api, &format!("{CONNECTIONS} bodies of {items} items for {path}")).await;
            drop(clients);
        }
    }
}

#[tokio::test]
async fn readings_that_do_not_end_fit_into_a_pod() {
    let (api, _database, _topic) = api(&[]).await;
    let zeros = format!(r#"{{"sensor_id":1,"data":[{}0]}}"#, "0,".repeat(30_000));
    let unfinished = format!(r#"[{{"sensor_id":1,"x":"{}"#, "a".repeat(60_000));
    for (clients, what, headers, body) in [
        (200, "an item of 30,000 zeros", "", zeros.into_bytes()),
        (2_000, "half an item", "", unfinished.clone().into_bytes()),
        (2_000, "half an item, compressed", "content-encoding: gzip\r\n", {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
            encoder.write_all(unfinished.as_bytes()).unwrap();
            encoder.flush().unwrap();
            encoder.get_ref().clone()
        }),
    ] {
        let request = [post("/readings", headers, 10 << 20), body].concat();
        let stalled = stalled(&api, clients, &request).await;
        holds(&api, &format!("{clients} times {what}")).await;
        drop(stalled);
    }
}

#[tokio::test]
async fn answers_that_nobody_takes_fit_into_a_pod() {
    let (api, _database, _topic) = api(&[]).await;
    for path in ["/redoc/redoc.standalone.js", "/docs/swagger-ui-bundle.js", "/openapi.json", "/", "/metrics"]
    {
        for coding in ["gzip", "identity"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {coding}\r\n\r\n");
            let clients = stalled(&api, 1_000, request.repeat(4).as_bytes()).await;
            holds(&api, &format!("1,000 clients that do not read {path} ({coding})")).await;
            drop(clients);
        }
    }
}

#[tokio::test]
async fn streams_and_exports_that_nobody_reads_fit_into_a_pod() {
    let (api, database, _topic) = api(&[]).await;
    database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, n, '2026-01-01Z'::timestamptz + n * interval '1 second' FROM generate_series(1, 400000) AS n",
        )
        .await;
    let get = |path: &str, accept: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n").into_bytes()
    };
    let exports = stalled(&api, 40, &get("/sensors/1/readings", "text/csv")).await;
    let overviews = stalled(&api, 500, &get("/overview/events", "text/event-stream")).await;
    let tails = stalled(&api, 600, &get("/sensors/1/readings/events", "text/event-stream")).await;
    for n in 0..20 {
        let reading = format!("INSERT INTO sensor_data (sensor_id, value, time) VALUES (1, {n}, now())");
        database.execute(&reading).await;
    }
    holds(&api, "40 exports and 1,100 streams").await;
    drop((exports, overviews, tails));
}
