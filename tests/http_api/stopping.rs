use testbed::{Role, TestDatabase, TestTopic, eventually, free_address};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::site::{PATIENCE, Site};

#[tokio::test]
async fn a_request_under_way_is_finished_and_an_idle_connection_closed() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let address = site.server.url.trim_start_matches("http://").to_owned();
    let mut idle = TcpStream::connect(&address).await.unwrap();
    let mut busy = TcpStream::connect(&address).await.unwrap();
    let head = "POST /sensor_data/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n{\"value";
    busy.write_all(head.as_bytes()).await.unwrap();
    // Accepted in order: when this is answered, both of the others have been.
    site.server.get("/healthz").await.expect(200);

    let server = site.server;
    server.stop.cancel();
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty());
    busy.write_all(b"\":1}").await.unwrap();
    let mut answer = Vec::new();
    busy.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    server.stopped().await;
    assert!(TcpStream::connect(&address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_role_counts_by_route_and_ends_well_on_sigterm() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let address = free_address().to_string();
    let mut api = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["api"])
        .database(&database)
        .topic(&topic)
        .env("HTTP_ADDR", &address)
        .start();
    let ready = async || match reqwest::get(format!("http://{address}/readyz")).await {
        Ok(answer) => answer.status() == 200,
        Err(_) => false,
    };
    eventually(PATIENCE, ready).await;
    let get = async |path: &str| reqwest::get(format!("http://{address}{path}")).await.unwrap();
    assert_eq!(get("/daily_avg/77").await.status(), 404);
    assert_eq!(get("/never/heard/of").await.status(), 404);
    let metrics = get("/metrics").await.text().await.unwrap();
    for line in [
        r#"sensorpipe_http_requests_total{method="GET",route="/daily_avg/{sensor_id}",status="404"} 1"#,
        r#"sensorpipe_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert!(!metrics.contains("/daily_avg/77"), "addresses are no labels");
    api.terminate();
    let status = api.ended(PATIENCE).await;
    assert!(status.success(), "{status}: {}", api.stderr());
}
