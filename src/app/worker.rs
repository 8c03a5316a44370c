//! The `worker` role: a pool of consumers.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Operations,
    jobs::{DeadLetterForwarding, Jobs, JobsConfig},
    sensor_records::SensorRecords,
    servers::Servers,
    shared_settings::SharedSettings,
};
use crate::{
    batch::Limits,
    config::{
        BATCH_MAX_BYTES, DatabaseConfig, ForwardingConfig, IngestConfig, MetricsConfig, RECORD_MAX_BYTES,
        WorkerConfig,
    },
    health::{Component, Health, Need},
    http,
    pipeline::{
        Absences, FirstTrial, GroupWatch, Member, MemberConfig, MemberError, Outage, StalledPartitions,
    },
    store::{self, LostSensors, Pool, SensorSource, WriterConfig},
};

/// How long to wait for `migrate` when everything is started at once.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(120);

/// Runs the consumers until asked to stop; one that ends unasked stops the others and is the role's error.
pub(super) async fn run(
    servers: &Servers,
    shared: &SharedSettings,
    worker: &WorkerConfig,
    forwarding: &ForwardingConfig,
    metrics: &MetricsConfig,
    operations: Operations,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Servers { database, kafka, settings } = servers;
    let Operations { health, metrics: recorder, supervisor, .. } = operations;
    let forwarding = forwarding
        .kafka(kafka)?
        .map(|kafka| DeadLetterForwarding::new(database, &kafka, settings))
        .transpose()?;
    let component = health.component("worker", Need::Required);
    let served = metrics.metrics_addr.map(|address| {
        tracing::info!("serving /metrics, /healthz and /readyz on http://{address}");
        let serving = http::serve_operations(address, health.clone(), recorder, stop.clone());
        tokio::spawn(supervisor.watch_server(&stop, serving))
    });
    let ingest = match stop.run_until_cancelled(wait_for_settings(database, shared)).await {
        Some(known) => known?,
        None => return Ok(()),
    };
    let group_watch = GroupWatch::new(kafka, settings);
    let sensor_records = Arc::new(SensorRecords::open(servers, group_watch.clone())?);
    let lost_sensors = SensorSource(Some(Arc::clone(&sensor_records) as Arc<dyn LostSensors>));
    let config =
        member_config(servers, &ingest, worker, lost_sensors, group_watch, component.clone(), &health);
    match stop.run_until_cancelled(refuse_missing_rights(&config.writer)).await {
        Some(tried) => tried?,
        None => return Ok(()),
    }
    component.up();
    let postgres = health.component("worker_postgres", Need::Required);
    let probe = Pool::for_probe(database)?;
    let outdated = health.component("settings", Need::Optional);
    let settings_pool = Pool::for_settings(database)?;
    let following = shared.clone().follow(settings_pool.clone(), outdated, stop.clone());
    let following = tokio::spawn(supervisor.watch("the reader of settings", &stop, following));
    let probing = supervisor.watch("the watch over Postgres", &stop, probe.watch(postgres, stop.clone()));
    let probing = tokio::spawn(probing);
    let jobs = JobsConfig { servers, settings_pool, ingest: &ingest, worker, forwarding, sensor_records };
    let jobs = Jobs::start(jobs, supervisor.clone(), stop.clone());
    let (ended, mut endings) = mpsc::channel(worker.consumers());
    for index in 0..worker.consumers() {
        let name = format!("consumer-{index}");
        let pulse = health.pulse(name.clone(), worker.stuck_after);
        let member = Member::new(config.clone(), index, Handle::current(), stop.clone(), pulse);
        let (ended, supervisor) = (ended.clone(), supervisor.clone());
        thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let outcome = supervisor.catch(&name, || member.run());
                // The role listens until every consumer has ended.
                let _ = ended.blocking_send((name, outcome));
            })
            .context("starting a consumer")?;
    }
    drop(ended);
    tracing::info!(consumers = worker.consumers(), kafka.topic = kafka.kafka_topic, "worker runs");
    let mut failure: Option<MemberError> = None;
    while let Some((name, outcome)) = endings.recv().await {
        match outcome {
            Some(Ok(())) if stop.is_cancelled() => {}
            Some(Ok(())) => supervisor.fail(format!("{name} ended unexpectedly")),
            Some(Err(error)) => {
                tracing::error!(error = %error, "a consumer failed; stopping the others");
                failure.get_or_insert(error);
            }
            // Noted already.
            None => {}
        }
        stop.cancel();
    }
    health.stopping();
    probing.await.context("asking whether Postgres answers")?;
    following.await.context("reading the settings")?;
    jobs.join().await?;
    if let Some(served) = served {
        served.await?;
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Waits for the schema and for a database that may be written to, and reads what the worker runs with from now on.
async fn wait_for_settings(
    database: &DatabaseConfig,
    shared: &SharedSettings,
) -> anyhow::Result<IngestConfig> {
    let deadline = Instant::now() + SCHEMA_PATIENCE;
    store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
    store::wait_until_fit(database, deadline.saturating_duration_since(Instant::now())).await?;
    Ok(*shared.running.learn(shared.read(database).await?))
}

/// A role without the rights is an error at once.
async fn refuse_missing_rights(writer: &WriterConfig) -> anyhow::Result<()> {
    match store::try_writing(writer).await {
        Err(error) if error.is_missing_right() => bail!(
            "the role of DATABASE_URL may not do all that a worker does ({}): run deploy/postgres/roles.sql and use \
             sensorpipe_writer, or grant what that grants",
            error.server_message()
        ),
        // What may pass is waited for by each consumer.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn member_config(
    servers: &Servers,
    ingest: &IngestConfig,
    worker: &WorkerConfig,
    lost_sensors: SensorSource,
    group_watch: GroupWatch,
    component: Component,
    health: &Health,
) -> MemberConfig {
    let Servers { database, kafka, settings } = servers.clone();
    let writer = WriterConfig {
        database: database.clone(),
        on_duplicate: ingest.on_duplicate,
        fk_check: worker.write_fk_check,
        rollups: ingest.rollups,
        lock_timeout: worker.lock_timeout,
        write_timeout: worker.write_timeout,
        dead_letter_bounds: worker.dead_letter_bounds(),
        lost_sensors,
    };
    MemberConfig {
        group_watch,
        database,
        kafka,
        settings,
        ingest: *ingest,
        first_trial: FirstTrial::new(writer.clone()),
        writer,
        limits: Limits {
            max_readings: worker.batch_max_readings,
            max_bytes: BATCH_MAX_BYTES,
            max_record_bytes: RECORD_MAX_BYTES,
        },
        linger: Duration::from_millis(worker.linger_ms),
        start: worker.start,
        assign_timeout: worker.assign_timeout,
        drain_timeout: worker.drain_timeout,
        health: component,
        kafka_health: health.component("worker_kafka", Need::Required),
        absences: Absences::new(health.component("worker_group", Need::Required)),
        // The others are read on, and a new start of the process would mend nothing.
        stalled: StalledPartitions::new(health.component("partitions", Need::Optional)),
        outage: Outage::default(),
    }
}
