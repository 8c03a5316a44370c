//! An api of the test's own, in this process.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::OwnedMessage,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use sensorpipe::{
    config::{DatabaseConfig, IngestConfig, KafkaConfig, KafkaSettings, RunningSettings},
    durability::FoundSettings,
    health::{Health, Need},
    http::{self, Api, KeyRing, SensorCache, Sensors, ServeLimits},
    kafka::{LogObserver, SensorTopic, producer::Producer},
    log_level::LogLevel,
    store::{Pool, keys::StoredKeys},
};
use serde_json::Value;
use testbed::{Role, Sensorpipe, TestDatabase, TestTopic, config};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// An api that listens.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) known_sensors: SensorCache,
    pub(crate) keys: KeyRing,
    pub(crate) health: Health,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    client: Client,
}

impl Server {
    /// Starts one with these flags of the HTTP configuration, whether or not there is something behind it.
    pub(crate) async fn start(database: &DatabaseConfig, kafka: &KafkaConfig, flags: &[&str]) -> Self {
        let http = config::<sensorpipe::config::HttpConfig>(flags);
        let (health, stop) = (Health::default(), CancellationToken::new());
        let (kafka_health, postgres_health) =
            (health.component("kafka", Need::Required), health.component("postgres", Need::Optional));
        let producer =
            Producer::new(kafka, &KafkaSettings::default(), http.publish_timeout, kafka_health.clone())
                .unwrap();
        let pool = Pool::new(database).unwrap();
        let reads = Pool::for_reads(database, &http.queries).unwrap();
        let known_sensors = SensorCache::new(&pool, http.known_sensors_max);
        let session = Health::default().component("postgres_session", Need::Required);
        tokio::spawn(known_sensors.clone().follow(database.clone(), session, stop.clone()));
        let keys = KeyRing::new(&http.queries, 10);
        keys.learn(StoredKeys::default());
        tokio::spawn(producer.clone().watch(stop.clone()));
        tokio::spawn(pool.clone().watch(postgres_health.clone(), stop.clone()));

        let ingest = RunningSettings::from_start(IngestConfig::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let topic = SensorTopic::open(kafka, &KafkaSettings::default()).unwrap();
        let sensors = Sensors { known: known_sensors.clone(), topic };
        let api = Api::new(producer, pool, reads, sensors, &http, &ingest);
        tokio::spawn(api.watch_visibility(stop.clone()));
        let observer = LogObserver::new(kafka, &KafkaSettings::default());
        tokio::spawn(api.serve_live(
            observer,
            kafka_health,
            postgres_health,
            FoundSettings::default(),
            stop.clone(),
        ));
        // The process has one recorder, and no test may be the one that installs it.
        let metrics = PrometheusBuilder::new().build_recorder().handle().into();
        // Nor may one change what the others log.
        let log_level = LogLevel::new("info", Box::new(|_| true));
        let operations = http::Operations { health: health.clone(), metrics, log_level };
        let router = http::router(api, keys.clone(), &http, operations);
        let limits = ServeLimits {
            connections_max: http.connections.http_max_connections,
            idle_timeout: http.connections.http_idle_timeout,
            drain_timeout: DRAIN_TIMEOUT,
        };
        let serving = tokio::spawn(http::serve(listener, router, limits, stop.clone()));
        let client = Client::builder().redirect(Policy::none()).timeout(PATIENCE).build().unwrap();
        Self { url, known_sensors, keys, health, stop, serving, client }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    /// Asks for an answer of this type.
    pub(crate) async fn get_as(&self, accept: &str, path: &str) -> Answer {
        Answer::of(self.open_as(accept, path).await).await
    }

    /// The same, and the body is still to be read.
    pub(crate) async fn open_as(&self, accept: &str, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).header("accept", accept).send().await.unwrap()
    }

    /// The beginning of an answer that has no end, with what `build` adds to its request.
    pub(crate) async fn open(
        &self,
        path: &str,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        build(self.client.get(format!("{}{path}", self.url))).send().await.unwrap()
    }

    /// Posts a body that says it is JSON.
    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.post_as(Some("application/json"), path, body).await
    }

    pub(crate) async fn post_as(
        &self,
        content_type: Option<&str>,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// Posts a body with these headers.
    pub(crate) async fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.unwrap()).await
    }

    /// Gets with a preference to wait for so many seconds.
    pub(crate) async fn get_waiting(&self, path: &str, seconds: u32) -> Answer {
        let request =
            self.client.get(format!("{}{path}", self.url)).header("prefer", format!("wait={seconds}"));
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, |request| request).await
    }

    pub(crate) async fn patch(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let is_json = |request: RequestBuilder| request.header("content-type", "application/json");
        self.request(Method::PATCH, path, |request| is_json(request).body(body)).await
    }

    /// Any request, with what `build` adds to it.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.url));
        Answer::of(build(request).send().await.unwrap()).await
    }

    /// Stops it and waits until it has.
    pub(crate) async fn stopped(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("it stops").unwrap();
    }
}

/// What the api said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

/// An api with a database and a topic of its own.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) database: TestDatabase,
    pub(crate) topic: TestTopic,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        Self::start_on(TestTopic::create(3).await, flags).await
    }

    /// With a topic that the test has made.
    pub(crate) async fn start_on(topic: TestTopic, flags: &[&str]) -> Self {
        let database = TestDatabase::create().await;
        let server = Server::start(&database.config(), &topic.config(), flags).await;
        Self { server, database, topic }
    }

    /// A worker that stores what the topic has.
    pub(crate) fn worker(&self) -> Sensorpipe {
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
            .database(&self.database)
            .topic(&self.topic)
            .start()
    }

    /// The key and the value of the record that a receipt leads to.
    pub(crate) async fn record(&self, receipt: &Value) -> (String, Value) {
        let record = self.whole_record(receipt).await;
        let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
        (key, serde_json::from_slice(record.payload().unwrap()).unwrap())
    }

    /// The record that a receipt leads to.
    pub(crate) async fn whole_record(&self, receipt: &Value) -> OwnedMessage {
        assert_eq!(receipt["topic"], *self.topic.name);
        let partition = i32::try_from(receipt["partition"].as_i64().unwrap()).unwrap();
        let offset = receipt["offset"].as_i64().unwrap();
        let consumer: BaseConsumer =
            self.topic.client_config().set("group.id", &self.topic.name).create().unwrap();
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic.name, partition, Offset::Offset(offset)).unwrap();
        consumer.assign(&place).unwrap();
        tokio::task::spawn_blocking(move || {
            let record = consumer.poll(PATIENCE).expect("there is a record").unwrap();
            assert_eq!(record.offset(), offset);
            record.detach()
        })
        .await
        .unwrap()
    }

    /// How many records the topic has.
    pub(crate) async fn records(&self) -> i64 {
        self.topic.watermarks().await.iter().map(|(first, next)| next - first).sum()
    }
}
