//! A run: sends, and on request waits until all of it is in the database.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use sensorpipe::{
    config::{DatabaseConfig, KafkaConfig, KafkaSettings},
    kafka::find_topic,
    reading::Timestamp,
    store::wait_for_schema,
};

use crate::{
    bulk_producer::BulkProducer,
    config::{LoadConfig, LoadTarget},
    database::Database,
    http,
    kafka::send_to_kafka,
    ledger::{Ledger, Tag},
    pace::Pace,
    plan::Plan,
    progress::Progress,
    report::{Report, Run},
    verify::Verification,
};

/// How long to wait for `migrate` when everything is started at once.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(30);
/// How long a record waits for company. On schedule that is what the api has it wait; otherwise what makes large
/// requests to the broker.
const LINGER_ON_SCHEDULE: Duration = Duration::from_millis(2);
const LINGER_AT_FULL_SPEED: Duration = Duration::from_millis(20);
/// How long to wait for the brokers, which have just answered another question.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for the last acknowledgements; longer than the producer itself does.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends as the command line says and prints the result; an error where something is missing or there twice.
pub async fn run(
    server: &DatabaseConfig,
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    config: &LoadConfig,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    wait_for_schema(server, SCHEMA_PATIENCE).await?;
    let mut database = Database::connect(server).await?;
    let sensor_ids = database.sensors(config.sensors).await.context("adding sensors")?;
    let verification = if config.verify {
        Some(Verification::begin(database, kafka, settings, config.verify_timeout, &stop).await?)
    } else {
        drop(database);
        None
    };

    let load = Load {
        plan: Arc::new(Plan::new(config, sensor_ids, Timestamp::now())),
        pace: Pace::new(config),
        ledger: Arc::new(Ledger::default()),
        stop,
    };
    let watched = verification.map(|verification| verification.watch(Arc::clone(&load.ledger)));
    let progress = Progress::start(Arc::clone(&load.ledger), &load.pace, load.plan.per_record());
    let records = match config.target {
        LoadTarget::Kafka => load.to_kafka(kafka, settings).await?,
        LoadTarget::Http => load.to_http(config, kafka).await?,
    };
    drop(progress);

    let outcome = load.ledger.outcome();
    let mut run = Run::of(&load.plan, config, records);
    let acknowledged = outcome.latencies.count() * load.plan.per_record();
    run.elapsed = outcome.last_answer;
    run.readings_per_second = acknowledged as f64 / outcome.last_answer.as_secs_f64().max(f64::EPSILON);
    run.failures.clone_from(&outcome.failures);
    run.refused = outcome.refused.len() as u64;
    let verified = match watched {
        Some(watched) => {
            let expected = load.plan.expected(records, &outcome.refused);
            let unacknowledged = outcome.failures.values().sum::<u64>() * load.plan.per_record();
            Some(watched.conclude(&expected, unacknowledged, &outcome, &load.stop).await?)
        }
        None => None,
    };
    let report =
        Report { run, acknowledgement: outcome.latencies, refusal: outcome.refusal_latencies, verified };
    conclude(&report, config.json)
}

/// Prints the result; an error where something is wrong with it.
fn conclude(report: &Report, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{report}");
    }
    match report.problems().as_slice() {
        [] => Ok(()),
        problems => bail!("{}", problems.join("; ")),
    }
}

/// What both targets need.
struct Load {
    plan: Arc<Plan>,
    pace: Pace,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
}

impl Load {
    /// Sends until it is enough and all of it is answered; returns how many records.
    async fn to_kafka(&self, kafka: &KafkaConfig, settings: &KafkaSettings) -> anyhow::Result<u64> {
        find_topic(kafka, settings).await?;
        let is_scheduled = self.pace.due(0).is_some();
        let linger = if is_scheduled { LINGER_ON_SCHEDULE } else { LINGER_AT_FULL_SPEED };
        let noting = Arc::clone(&self.ledger);
        let producer = BulkProducer::new(kafka, settings, linger, move |word, answer| {
            noting.note(Tag::from_word(word), answer.map_err(|error| error.to_string()));
        })?;
        let (plan, pace, ledger, stop) =
            (Arc::clone(&self.plan), self.pace, Arc::clone(&self.ledger), self.stop.clone());
        let sending = tokio::task::spawn_blocking(move || {
            producer.connect(CONNECT_TIMEOUT)?;
            let records = send_to_kafka(&producer, &plan, &pace, &ledger, &stop);
            producer.flush(FLUSH_TIMEOUT);
            Ok(records)
        });
        sending.await?
    }

    async fn to_http(&self, config: &LoadConfig, kafka: &KafkaConfig) -> anyhow::Result<u64> {
        let sender = http::HttpSender {
            api: http::ApiAddress::parse(&config.url)?,
            key: config.api_key.clone(),
            topic: config.verify.then(|| kafka.kafka_topic.clone()),
            plan: Arc::clone(&self.plan),
            pace: self.pace,
            ledger: Arc::clone(&self.ledger),
            stop: self.stop.clone(),
        };
        Ok(sender.send(config.connections).await)
    }
}
