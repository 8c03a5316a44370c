//! sensorpipe's own processes, as they run in production.

use std::{path::PathBuf, time::Duration};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use testbed::{Role, Sensorpipe, TestDatabase, TestTopic, eventually, free_address};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::PATIENCE;

pub(crate) fn role(args: &[&str]) -> Role {
    Role::new(env!("CARGO_BIN_EXE_sensorpipe"), args)
}

/// With these variables.
pub(crate) fn with(role: Role, variables: &[(&str, String)]) -> Role {
    variables.iter().fold(role, |role, (name, value)| role.env(name, value))
}

/// Runs a command to its end; whether it went well, and all that it said.
pub(crate) async fn run(role: Role) -> (bool, String) {
    let mut process = role.start();
    let status = process.ended(PATIENCE).await;
    (status.success(), process.stdout() + &process.stderr())
}

/// What a test of TLS needs, from `dev/services env`.
pub(crate) struct Tls {
    folder: PathBuf,
    pub(crate) kafka_brokers: String,
}

impl Tls {
    pub(crate) fn from_env() -> Self {
        let of = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see `dev/services env`"))
        };
        Self { folder: of("TEST_TLS_FOLDER").into(), kafka_brokers: of("TEST_KAFKA_TLS_BROKERS") }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn kafka_password(&self) -> String {
        std::fs::read_to_string(self.file("kafka-password")).unwrap()
    }

    /// Kafka over TLS and with a password, as the environment says it.
    pub(crate) fn kafka(&self) -> Vec<(&'static str, String)> {
        vec![
            ("KAFKA_BROKERS", self.kafka_brokers.clone()),
            ("KAFKA_CONFIG_security_protocol", "SASL_SSL".to_owned()),
            ("KAFKA_CONFIG_sasl_mechanism", "SCRAM-SHA-512".to_owned()),
            ("KAFKA_CONFIG_sasl_username", "sensorpipe".to_owned()),
            ("KAFKA_CONFIG_sasl_password", self.kafka_password()),
            ("KAFKA_CONFIG_ssl_ca_location", self.file("ca.pem")),
        ]
    }
}

/// An api that runs.
pub(crate) struct Api {
    pub(crate) process: Sensorpipe,
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Api {
    /// Starts one and waits until it answers; `variables` come last.
    pub(crate) async fn start(
        database: &TestDatabase,
        topic: &TestTopic,
        variables: &[(&str, String)],
    ) -> Self {
        let api = Self::launch(role(&["api"]), database, topic, variables);
        let ready = async || api.get("/readyz").await.0 == Some(StatusCode::OK);
        eventually(PATIENCE, ready).await;
        api
    }

    /// The same, and nobody waits for it.
    pub(crate) fn launch(
        role: Role,
        database: &TestDatabase,
        topic: &TestTopic,
        variables: &[(&str, String)],
    ) -> Self {
        let address = free_address().to_string();
        let role = role.database(database).topic(topic).env("HTTP_ADDR", &address);
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { process: with(role, variables).start(), url: format!("http://{address}"), client }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) async fn get(&self, path: &str) -> (Option<StatusCode>, String) {
        Self::answer(self.client.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (Option<StatusCode>, String) {
        let request =
            self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        Self::answer(request.header("prefer", "wait=20").body(body)).await
    }

    pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (Option<StatusCode>, String) {
        match request.send().await {
            Ok(answer) => (Some(answer.status()), answer.text().await.unwrap_or_default()),
            Err(_) => (None, String::new()),
        }
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// Sends a request's bytes and reads all that comes until the connection is closed.
    pub(crate) async fn exchange(&self, request: &[u8]) -> String {
        let mut client = self.connect().await;
        let (mut from, mut to) = client.split();
        let reading = async {
            let mut bytes = Vec::new();
            // A reset is an end, too.
            let _ = timeout(PATIENCE, from.read_to_end(&mut bytes)).await.expect("the connection is closed");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        // It may be answered, and closed, before all of it is sent.
        let (_, answer) = tokio::join!(to.write_all(request), reading);
        answer
    }

    /// Time that it has spent on a processor so far.
    pub(crate) fn processor_time(&self) -> Duration {
        /// `USER_HZ`, which is 100 on every Linux.
        const TICKS_PER_SECOND: u64 = 100;
        let line = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        // Its name comes before and may have blanks in it.
        let fields: Vec<&str> = line.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// Sends a reading of sensor 1 and waits until it is stored, and the statistics tell it.
    pub(crate) async fn takes_a_reading(&self) {
        let (status, answer) =
            self.post("/sensor_data/1", r#"{"value":21.5,"timestamp":"2024-10-12T14:29:00Z"}"#).await;
        assert_eq!(status, Some(StatusCode::OK), "{answer}\n{}", self.process.stderr());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["state"], "stored", "{answer}");
        let (status, text) = self.get("/daily_avg/1").await;
        assert_eq!(status, Some(StatusCode::OK), "{text}");
        let days: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&days[0]["day"], &days[0]["avg_value"]), (&"2024-10-12".into(), &21.5.into()));
    }

    /// How many connections of clients it holds.
    pub(crate) fn connections(&self) -> usize {
        self.sockets().len()
    }

    /// What clients have sent and it has not read.
    pub(crate) fn unread_bytes(&self) -> u64 {
        self.sockets().iter().map(|queues| u64::from_str_radix(&queues[9..], 16).expect("a number")).sum()
    }

    /// The lengths of the queues of each connection of a client, in hexadecimal: `00000000:00000000`.
    fn sockets(&self) -> Vec<String> {
        const LISTENING: &str = "0A";
        const OF_NOBODY: &str = "0";
        let port = self.address().rsplit(':').next().expect("a port").parse().expect("a number");
        let queues = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = u16::from_str_radix(fields[1].rsplit(':').next().expect("a port"), 16);
            let is_its = local == Ok(port) && fields[3] != LISTENING && fields[9] != OF_NOBODY;
            is_its.then(|| fields[4].to_owned())
        };
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
        table.lines().skip(1).filter_map(queues).collect()
    }
}

/// A worker with one consumer.
pub(crate) fn worker(
    role: Role,
    database: &TestDatabase,
    topic: &TestTopic,
    variables: &[(&str, String)],
) -> Sensorpipe {
    with(role.database(database).topic(topic).env("SENSORPIPE_TEST_LOCK_TIMEOUT", "1s"), variables).start()
}

/// Waits until a process has said this.
pub(crate) async fn says(process: &Sensorpipe, words: &[&str]) {
    const SOON: Duration = Duration::from_secs(20);
    let started = std::time::Instant::now();
    loop {
        let log = process.stderr();
        if words.iter().all(|word| log.contains(word)) {
            return;
        }
        assert!(started.elapsed() < SOON, "nothing of {words:?} in\n{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
