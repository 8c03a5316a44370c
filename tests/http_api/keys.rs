//! `sensorpipe keys`, and a real api that hears of it.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use testbed::{Role, Sensorpipe, TestDatabase, TestTopic, comes_to, eventually, free_address};

use crate::site::PATIENCE;

/// The api reads the keys each second.
const A_FEW_SECONDS: Duration = Duration::from_secs(5);

fn role(args: &[&str]) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args)
}

/// Runs `sensorpipe keys` to its end; what it printed, and what it logged.
async fn keys(database: &TestDatabase, args: &[&str]) -> Result<(String, String), String> {
    let mut process = role(&[&["keys"], args].concat()).database(database).start();
    let status = process.ended(PATIENCE).await;
    if status.success() { Ok((process.stdout(), process.stderr())) } else { Err(process.stderr()) }
}

async fn make_key(database: &TestDatabase, args: &[&str]) -> String {
    let (stdout, stderr) = keys(database, &[&["create"], args].concat()).await.unwrap();
    let token = stdout.trim_end().to_owned();
    assert!(!stderr.contains(&token[..16]), "a token is no log line");
    token
}

struct RunningApi {
    process: Sensorpipe,
    url: String,
    client: Client,
}

impl RunningApi {
    async fn start(database: &TestDatabase, topic: &TestTopic, log_format: &str) -> Self {
        let address = free_address().to_string();
        let process = role(&["api"])
            .database(database)
            .topic(topic)
            .env("HTTP_ADDR", &address)
            .env("LOG_LEVEL", "trace")
            .env("LOG_FORMAT", log_format)
            .start();
        let api = Self { process, url: format!("http://{address}"), client: Client::new() };
        eventually(PATIENCE, async || api.status("/readyz", None).await == Some(StatusCode::OK)).await;
        api
    }

    async fn status(&self, path: &str, token: Option<&str>) -> Option<StatusCode> {
        let mut request = self.client.get(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.ok().map(|answer| answer.status())
    }

    async fn text(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }
}

#[tokio::test]
async fn a_key_is_made_used_and_revoked_while_the_api_runs() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let mut api = RunningApi::start(&database, &topic, "text").await;
    assert_eq!(api.status("/sensors", None).await, Some(StatusCode::OK), "no key, no lock");

    let token = make_key(&database, &["--name", "reader", "--scope", "read", "--rate", "1000"]).await;
    comes_to("without a key", A_FEW_SECONDS, Some(StatusCode::UNAUTHORIZED), async || {
        api.status("/sensors", None).await
    })
    .await;
    assert_eq!(api.status("/sensors", Some(&token)).await, Some(StatusCode::OK));

    keys(&database, &["revoke", "reader"]).await.unwrap();
    comes_to("with a revoked key", A_FEW_SECONDS, Some(StatusCode::UNAUTHORIZED), async || {
        api.status("/sensors", Some(&token)).await
    })
    .await;
    assert_eq!(
        api.status("/sensors", None).await,
        Some(StatusCode::UNAUTHORIZED),
        "the last key that goes does not open the door"
    );

    let metrics = api.text("/metrics").await;
    let allowed = r#"sensorpipe_http_key_requests_total{key="reader",outcome="allowed"} "#;
    let allowed = metrics.lines().find_map(|line| line.strip_prefix(allowed)?.parse::<u64>().ok());
    assert!(allowed.is_some_and(|allowed| allowed > 0), "{metrics}");
    assert!(metrics.contains("sensorpipe_http_unauthorized_total"), "{metrics}");
    api.process.terminate();
    assert!(api.process.ended(PATIENCE).await.success());
    assert!(!api.process.stderr().contains(&token[16..]), "not even at the level trace");
}

#[tokio::test]
async fn the_last_keys_hold_while_postgres_is_away() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let token = make_key(&database, &["--name", "reader", "--scope", "read"]).await;
    let api = RunningApi::start(&database, &topic, "text").await;
    database.execute("ALTER TABLE api_keys RENAME COLUMN token_hash TO moved").await;
    eventually(PATIENCE, async || api.process.stderr().contains("the API keys cannot be read")).await;
    assert_eq!(api.status("/sensors", None).await, Some(StatusCode::UNAUTHORIZED));
    assert_eq!(api.status("/sensors", Some(&token)).await, Some(StatusCode::OK));
    database.execute("ALTER TABLE api_keys RENAME COLUMN moved TO token_hash").await;
    eventually(PATIENCE, async || api.process.stderr().contains("can be read again")).await;
}

#[tokio::test]
async fn an_address_that_others_reach_needs_keys_or_has_to_be_asked_for() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let open = |more: &[&str]| {
        let address = format!("0.0.0.0:{}", free_address().port());
        let args = [&["api", "--http-addr", &address], more].concat();
        role(&args).database(&database).topic(&topic).start()
    };
    let mut refused = open(&[]);
    assert!(!refused.ended(PATIENCE).await.success());
    assert!(refused.stderr().contains("--allow-anonymous"), "{}", refused.stderr());
    let listens = async |process: &Sensorpipe| {
        eventually(PATIENCE, async || process.stderr().contains("listening on http://0.0.0.0")).await;
    };
    listens(&open(&["--allow-anonymous"])).await;
    make_key(&database, &["--name", "any", "--scope", "read"]).await;
    listens(&open(&[])).await;
}

#[tokio::test]
async fn keys_are_listed_without_their_secrets() {
    let database = TestDatabase::create().await;
    let token = make_key(&database, &["--name", "gateway", "--scope", "ingest,read", "--rate", "50"]).await;
    let refused = keys(&database, &["create", "--name", "gateway", "--scope", "read"]).await.unwrap_err();
    assert!(refused.contains("there is a key gateway already"), "{refused}");
    let (list, _) = keys(&database, &["list"]).await.unwrap();
    let line = list.lines().find(|line| line.starts_with("gateway ")).unwrap();
    assert!(line.contains("ingest,read") && line.contains(" 50 ") && line.contains(&token[3..15]), "{line}");
    assert!(!list.contains(&token[16..]));
    let hashed = "SELECT count(*) FROM api_keys WHERE octet_length(token_hash) = 32";
    assert_eq!(database.number(hashed).await, 1);

    keys(&database, &["revoke", "gateway"]).await.unwrap();
    let gone = keys(&database, &["revoke", "gateway"]).await.unwrap_err();
    assert!(gone.contains("there is no valid key gateway"), "{gone}");
    // Its name is free again, and the old one is remembered.
    make_key(&database, &["--name", "gateway", "--scope", "read"]).await;
    assert_eq!(keys(&database, &["list"]).await.unwrap().0.matches("gateway").count(), 1);
    assert_eq!(keys(&database, &["list", "--all"]).await.unwrap().0.matches("gateway").count(), 2);
}

#[tokio::test]
async fn a_log_line_names_its_request() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    let named = |line: &str| line.contains("listing sensors failed");
    let (text, json) = tokio::join!(
        RunningApi::start(&database, &topic, "text"),
        RunningApi::start(&database, &topic, "json"),
    );
    database.execute("ALTER TABLE sensors RENAME TO elsewhere").await;
    for api in [&text, &json] {
        let request = api.client.get(format!("{}/sensors", api.url)).header("x-request-id", "order-66");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let log = text.process.stderr();
    assert!(log.lines().find(|line| named(line)).unwrap().ends_with(" request.id=order-66"), "{log}");
    let log = json.process.stderr();
    let line: serde_json::Value =
        serde_json::from_str(log.lines().find(|line| named(line)).unwrap()).unwrap();
    assert_eq!((&line["request.id"], &line["level"]), (&"order-66".into(), &"ERROR".into()), "{line}");
    // What is about no request names none.
    assert!(!log.lines().find(|line| line.contains("listening on")).unwrap().contains("request.id"));
}
