//! Clients that mean harm: each costs little, and none keeps others from being served.

use std::time::{Duration, Instant};

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use futures_util::future::join_all;
use testbed::{TestDatabase, TestTopic, comes_to, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{PATIENCE, service::Api};

/// What the api may have held at most when a test ends; a debug build at rest holds some 40 MiB.
const MEMORY_MIB: u64 = 250;
/// The largest head of a request, as SECURITY.md has it.
const HEAD_MAX_BYTES: usize = 24 << 10;

pub(crate) async fn api(variables: &[(&str, &str)]) -> (Api, TestDatabase, TestTopic) {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    (Api::start(&database, &topic, &variables).await, database, topic)
}

/// All that comes until the connection is closed, one way or the other.
async fn rest(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, client.read_to_end(&mut bytes)).await.expect("the connection is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends these bytes, and then one more every 50 ms, until the other end has had enough; for how long that was.
async fn dribble(api: &Api, start: &str) -> Duration {
    let mut client = api.connect().await;
    client.write_all(start.as_bytes()).await.unwrap();
    let started = Instant::now();
    let mut answer = [0; 512];
    while started.elapsed() < PATIENCE {
        let sent = client.write_all(b"a").await;
        match timeout(Duration::from_millis(50), client.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return started.elapsed(),
            Ok(Ok(_)) | Err(_) if sent.is_ok() => {}
            _ => return started.elapsed(),
        }
    }
    panic!("after {PATIENCE:?} it is still open");
}

#[tokio::test]
async fn slow_clients_are_closed_and_others_served() {
    let (api, _database, _topic) = api(&[
        ("HTTP_IDLE_TIMEOUT", "1s"),
        ("SENSORPIPE_TEST_HTTP_REQUEST_TIMEOUT", "2s"),
        ("SENSORPIPE_TEST_PUBLISH_TIMEOUT", "1s"),
        ("HTTP_MAX_CONNECTIONS", "100"),
    ])
    .await;
    let body =
        "POST /sensor_data/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{\"padding\":\"";
    let chunked = "POST /readings HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1";
    let dribbled = join_all((0..40).flat_map(|_| {
        ["GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ", body].map(|start| dribble(&api, start))
    }));
    let (dribbled, chunked, served) = tokio::join!(dribbled, dribble(&api, chunked), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        api.get("/sensors").await
    });
    assert_eq!(
        served.0.map(|status| status.as_u16()),
        Some(200),
        "others are served meanwhile: {}",
        served.1
    );
    for lasted in dribbled.into_iter().chain([chunked]) {
        assert!(lasted < Duration::from_secs(10), "{lasted:?}");
    }
    assert!(api.process.peak_memory_mib() < MEMORY_MIB);
}

#[tokio::test]
async fn idle_connections_leave_room_to_others() {
    let (api, _database, _topic) = api(&[("HTTP_IDLE_TIMEOUT", "1s"), ("HTTP_MAX_CONNECTIONS", "50")]).await;
    let idle = join_all((0..300).map(|_| api.connect())).await;
    // One reading of the kernel's table may find both a connection that is closed meanwhile and the one that follows.
    let held = (0..10).map(|_| api.connections()).min();
    assert!(held <= Some(50), "{held:?} of 300 that would be open");
    // It stands behind 300 others, of which 50 are closed each second.
    let (status, _) = api.get("/healthz").await;
    assert_eq!(status.map(|status| status.as_u16()), Some(200));
    drop(idle);
    assert!(api.process.peak_memory_mib() < MEMORY_MIB);
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_connection() {
    let (api, _database, _topic) = api(&[("HTTP_IDLE_TIMEOUT", "3s")]).await;
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2_000);
    let mut clients = join_all((0..10).map(|_| async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut client = socket.connect(api.address().parse().unwrap()).await.unwrap();
        // What does not go out at once stays with us.
        let _ = timeout(Duration::from_millis(200), client.write_all(requests.as_bytes())).await;
        client
    }))
    .await;
    eventually(PATIENCE, async || api.connections() >= 5).await;
    comes_to("connections", PATIENCE, 0, async || api.connections()).await;
    for client in &mut clients {
        assert!(rest(client).await.len() < 50_000_000, "200 MB were asked for");
    }
    assert!(api.process.peak_memory_mib() < MEMORY_MIB);
}

#[tokio::test]
async fn refused_bodies_take_no_memory() {
    let (api, _database, _topic) = api(&[]).await;
    let head =
        "POST /sensors HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 40000000\r\n\r\n";
    let request = [head.as_bytes(), &vec![b' '; 40_000_000]].concat();
    for answer in join_all((0..10).map(|_| api.exchange(&request))).await {
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    assert!(api.process.peak_memory_mib() < MEMORY_MIB);
}

#[tokio::test]
async fn heads_have_a_size() {
    let (api, _database, _topic) = api(&[]).await;
    let many = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<Vec<_>>().concat();
    let long = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    let path = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(1 << 20));
    for request in [
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"),
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{long}\r\n"),
        path,
    ] {
        let answer = api.exchange(request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["431", "414"].contains(&status), "{}", &answer[..answer.len().min(200)]);
    }
    let filled_to = |bytes: usize| {
        let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: \r\n\r\n";
        head.replace("x: ", &format!("x: {}", "a".repeat(bytes - head.len())))
    };
    for (bytes, status) in [(HEAD_MAX_BYTES, "200"), (HEAD_MAX_BYTES + 1, "431"), (100 << 10, "431")] {
        let answer = api.exchange(filled_to(bytes).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bytes} bytes: {answer}");
    }
}

#[tokio::test]
async fn deep_and_huge_json_is_a_client_error() {
    let (api, _database, _topic) = api(&[]).await;
    let deep = |open: &str, close: &str| [open.repeat(100_000), close.repeat(100_000)].concat();
    let digits = "9".repeat(1_000_000);
    let bodies = [
        deep("[", "]"),
        deep(r#"{"a":"#, "}").replace(":}", ":1}"),
        format!(r#"{{"value":{}}}"#, deep("[", "]")),
        format!(r#"{{"value":1,"more":{}}}"#, deep("[", "]")),
        format!(r#"{{"data":[{}]}}"#, deep("[", "]")),
        format!(r#"{{"sensor_id":1,"value":{digits}}}"#),
        format!(r#"{{"sensor_id":{digits},"value":1e{digits}}}"#),
        format!(r#"{{"sensor_id":1,"value":1,"timestamp":{digits}}}"#),
        format!(r#"{{"sensor_id":1,"value":1,"timestamp":"{digits}"}}"#),
        format!(r#"{{"sensor_type":"{digits}","sensors":[{}]}}"#, deep("[", "]")),
        format!(r#"{{"sensor_id":1,"value":"{}"}}"#, "\\u0000".repeat(100_000)),
    ];
    let routes = [
        ("POST", "/sensors"),
        ("POST", "/sensors/bulk"),
        ("PATCH", "/sensors/1"),
        ("POST", "/sensor_data/1"),
        ("POST", "/readings"),
    ];
    for (method, path) in routes {
        for (n, body) in bodies.iter().enumerate() {
            for content_type in ["application/json", "application/x-ndjson"] {
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
                     content-length: {}\r\n\r\n",
                    body.len()
                );
                // Raw: the answer may come, and the connection close, before all of the body is sent.
                let answer = api.exchange((head + body).as_bytes()).await;
                let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
                let status =
                    status.unwrap_or_else(|| panic!("{method} {path}, body {n}: no answer: {answer}"));
                // A list of items is judged item by item, and none of these is one.
                let is_refused = (400..500).contains(&status)
                    || (path == "/readings" && status == 207 && answer.contains(r#""accepted":0"#));
                // A member that nobody knows is passed over, however deep it is.
                let may_pass = n == 3 && path == "/sensor_data/1" && status == 200;
                assert!(is_refused || may_pass, "{method} {path}, body {n}: {status} {answer}");
                assert!(answer.len() < 10_000, "{method} {path}, body {n}: {} bytes come back", answer.len());
            }
        }
    }
    assert!(api.process.peak_memory_mib() < MEMORY_MIB, "{} MiB", api.process.peak_memory_mib());
}

#[tokio::test]
async fn bombs_unpack_no_further_than_a_body_may() {
    let (api, _database, _topic) = api(&[("HTTP_MAX_BODY_BYTES", "1000000")]).await;
    let spaces = tokio::io::AsyncReadExt::take(tokio::io::repeat(b' '), 256 << 20);
    let mut gzip = Vec::new();
    GzipEncoder::new(tokio::io::BufReader::with_capacity(1 << 20, spaces))
        .read_to_end(&mut gzip)
        .await
        .unwrap();
    let mut zstd = Vec::new();
    let spaces = tokio::io::AsyncReadExt::take(tokio::io::repeat(b' '), 256 << 20);
    ZstdEncoder::new(tokio::io::BufReader::with_capacity(1 << 20, spaces))
        .read_to_end(&mut zstd)
        .await
        .unwrap();
    // A bomb in a bomb, and both said to be one.
    let mut nested = Vec::new();
    GzipEncoder::new(&gzip[..]).read_to_end(&mut nested).await.unwrap();
    let send = |coding: &'static str, bomb: &[u8]| {
        let request = api.client.post(format!("{}/readings", api.url)).header("content-encoding", coding);
        Api::answer(request.header("content-type", "application/json").body(bomb.to_vec()))
    };
    let started = Instant::now();
    let bombs = join_all((0..20).flat_map(|_| [send("gzip", &gzip), send("zstd", &zstd)])).await;
    for (status, answer) in bombs {
        assert!(matches!(status.map(|status| status.as_u16()), Some(413)), "{status:?} {answer}");
    }
    // The server closes connections whose body it did not read: one of them may just be the next that is taken.
    let is_answered = async |coding, statuses: &[u16]| {
        send(coding, &nested).await.0.is_some_and(|status| statuses.contains(&status.as_u16()))
    };
    eventually(PATIENCE, async || is_answered("gzip, gzip", &[415]).await).await;
    // Once unpacked it is no JSON.
    eventually(PATIENCE, async || is_answered("gzip", &[400, 422]).await).await;
    assert!(started.elapsed() < PATIENCE);
    assert!(api.process.peak_memory_mib() < MEMORY_MIB, "{} MiB", api.process.peak_memory_mib());
}

#[tokio::test]
async fn no_path_leads_out_of_the_documents() {
    let (api, _database, _topic) = api(&[]).await;
    for path in [
        "/docs/../../../../etc/passwd",
        "/docs/..%2f..%2f..%2fetc%2fpasswd",
        "/docs/%2e%2e/%2e%2e/Cargo.toml",
        "/docs/....//....//etc/passwd",
        "/docs//etc/passwd",
        "/docs/%2Fetc%2Fpasswd",
        "/docs/..\\..\\etc\\passwd",
        "/redoc/../docs/../Cargo.toml",
        "//etc/passwd",
        "/docs/index.html%00.css",
    ] {
        // As raw bytes: a client of good manners would mend the path.
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = api.exchange(request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["404", "400"].contains(&status), "{path}: {answer}");
    }
}
