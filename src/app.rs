//! The only wiring: which tasks a role runs, and in which order they stop.

mod api;
mod audit;
mod command_line;
mod completions;
mod dead_letters;
mod environment;
mod jobs;
mod keys;
mod logging;
mod migrate;
mod offsets;
mod replay;
mod seed;
mod sensor_records;
mod servers;
mod settings;
mod shared_settings;
mod signals;
mod stats;
mod supervisor;
mod unsafe_settings;
mod worker;

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use clap_complete::Shell;
use tokio_util::sync::CancellationToken;

use crate::config::{
    AuditConfig, BackgroundAuditConfig, DatabaseConfig, DeadLettersCommand, ForwardingConfig, GivenSettings,
    HttpConfig, KeysCommand, MetricsConfig, OffsetsCommand, ReplayLogConfig, SchemaConfig, SettingsConfig,
    StatsCommand, TopicConfig, WorkerConfig,
};
use crate::{
    durability::FoundSettings,
    health::Health,
    log_level::LogLevel,
    metrics::{Exposition, Served},
    traces::{Settings, Traces},
};

use self::{audit::Audit, servers::Servers, shared_settings::SharedSettings, supervisor::Supervisor};
pub use self::{
    command_line::{arguments, kafka_settings},
    logging::start_logging,
    signals::start_runtime,
};

/// How long commands wait for `migrate` when everything is started at once.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(30);

/// What the process does.
#[derive(Subcommand, Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one of them")]
#[expect(
    missing_docs,
    reason = "each flattened struct speaks for itself, and a comment here would go into --help"
)]
pub enum Command {
    /// Bring the schema up to date and create the topic where it is missing
    Migrate {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        topic: TopicConfig,
        #[command(flatten)]
        schema: SchemaConfig,
        #[command(flatten)]
        shared: GivenSettings,
        #[command(flatten)]
        forwarding: ForwardingConfig,
    },
    /// Serve HTTP: publish readings to Kafka, answer statistics
    Api {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        http: HttpConfig,
        #[command(flatten)]
        shared: GivenSettings,
    },
    /// Move readings from Kafka into the database
    Worker {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        shared: GivenSettings,
        #[command(flatten)]
        worker: WorkerConfig,
        #[command(flatten)]
        forwarding: ForwardingConfig,
        #[command(flatten)]
        metrics: MetricsConfig,
    },
    /// Migrate, then api, worker and audit in one process
    All {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        topic: TopicConfig,
        #[command(flatten)]
        schema: SchemaConfig,
        #[command(flatten)]
        http: HttpConfig,
        #[command(flatten)]
        shared: GivenSettings,
        #[command(flatten)]
        worker: WorkerConfig,
        #[command(flatten)]
        forwarding: ForwardingConfig,
        #[command(flatten)]
        audit: BackgroundAuditConfig,
    },
    /// Send the two sample sensors' readings of the last 14 days through Kafka
    Seed {
        #[command(flatten)]
        servers: Servers,
    },
    /// Compare what the log holds with what is stored; exit code 1 on a difference, 2 where that cannot be told
    Audit {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        audit: AuditConfig,
        #[command(flatten)]
        shared: GivenSettings,
        #[command(flatten)]
        metrics: MetricsConfig,
    },
    /// Show the stored offsets beside the log, and go on where the two contradict each other
    Offsets {
        #[command(flatten)]
        servers: Servers,
        #[command(subcommand)]
        command: OffsetsCommand,
    },
    /// Read the log again from an offset or a time; what is there already stays as it is
    Replay {
        #[command(flatten)]
        servers: Servers,
        #[command(flatten)]
        replay: ReplayLogConfig,
    },
    /// Look after the daily statistics that are kept
    Stats {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(subcommand)]
        command: StatsCommand,
    },
    /// Show and change what the database has for every process: `sensorpipe settings set on_duplicate=overwrite`
    Settings {
        #[command(flatten)]
        settings: SettingsConfig,
    },
    /// Make, show and revoke the API keys
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Work through what could not be stored
    DeadLetters {
        #[command(subcommand)]
        command: DeadLettersCommand,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print what a shell needs to complete sensorpipe's commands and flags
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

impl Command {
    /// What its traces are called where the environment says nothing else; none for commands that make none.
    fn service(&self) -> Option<&'static str> {
        match self {
            Self::Api { .. } => Some("sensorpipe-api"),
            Self::Worker { .. } => Some("sensorpipe-worker"),
            Self::All { .. } => Some("sensorpipe"),
            Self::Migrate { .. }
            | Self::Seed { .. }
            | Self::Audit { .. }
            | Self::Offsets { .. }
            | Self::Replay { .. }
            | Self::Stats { .. }
            | Self::Settings { .. }
            | Self::Keys { .. }
            | Self::DeadLetters { .. }
            | Self::Openapi
            | Self::Completions { .. } => None,
        }
    }
}

/// What every long-running role of a process shares: one health, one recorder of metrics, one level of its log.
#[derive(Clone)]
struct Operations {
    health: Health,
    metrics: Exposition,
    log_level: LogLevel,
    supervisor: Supervisor,
    found_settings: FoundSettings,
}

impl Operations {
    /// Once a process; what ends unasked cancels `stop`.
    fn start(roles: Served, log_level: LogLevel, stop: &CancellationToken) -> anyhow::Result<Self> {
        /// Histograms hold their samples until then, or until somebody asks for them.
        const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
        let health = Health::default();
        let metrics = crate::metrics::install(roles, &health)?;
        let supervisor = Supervisor::new(stop.clone());
        let toggling = logging::toggle_on_signal(log_level.clone());
        tokio::spawn(supervisor.watch("the switch of the log level", stop, toggling));
        let upkeep = metrics.clone();
        tokio::spawn(supervisor.watch("the upkeep of metrics", stop, async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                upkeep.upkeep();
            }
        }));
        Ok(Self { health, metrics, log_level, supervisor, found_settings: FoundSettings::default() })
    }

    /// Looks for settings of the servers that are not safe, once for all roles of the process.
    fn watch_settings(&self, servers: &Servers, stop: &CancellationToken) {
        let watching = unsafe_settings::watch(servers.clone(), self.found_settings.clone());
        tokio::spawn(self.supervisor.watch("the watch over unsafe settings", stop, watching));
    }
}

/// Runs a command to its end; SIGTERM and SIGINT ask it to drain and stop. `cli` is the whole command line, which
/// completions are made of.
pub fn run(command: Command, cli: clap::Command, log_level: LogLevel) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let runtime = start_runtime(&stop)?;
    let traces = match command.service() {
        Some(service) => Traces::start(Settings::from_env()?, service)?,
        None => Traces::off(),
    };
    let outcome = runtime.block_on(dispatch(command, cli, log_level, stop));
    drop(runtime);
    traces.finish();
    outcome
}

async fn dispatch(
    command: Command,
    cli: clap::Command,
    log_level: LogLevel,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let outcome = match command {
        Command::Migrate { servers, topic, schema, shared, forwarding } => {
            let shared = SharedSettings::new(shared);
            migrate::run(&servers, &topic, &schema, &shared, &forwarding).await
        }
        Command::Api { servers, http, shared } => {
            let shared = SharedSettings::new(shared);
            let operations = Operations::start(Served::Api, log_level, &stop)?;
            operations.watch_settings(&servers, &stop);
            let supervisor = operations.supervisor.clone();
            let api = api::run(&servers, &http, &shared, operations, stop).await;
            api.and(supervisor.verdict())
        }
        Command::Worker { servers, shared, worker, forwarding, metrics } => {
            let shared = SharedSettings::new(shared);
            let operations = Operations::start(Served::Worker, log_level, &stop)?;
            operations.watch_settings(&servers, &stop);
            let supervisor = operations.supervisor.clone();
            let worker = worker::run(&servers, &shared, &worker, &forwarding, &metrics, operations, stop);
            worker.await.and(supervisor.verdict())
        }
        Command::All { servers, topic, schema, http, shared, worker, forwarding, audit } => {
            let shared = SharedSettings::new(shared);
            migrate::run(&servers, &topic, &schema, &shared, &forwarding).await?;
            let metrics = MetricsConfig { metrics_addr: None };
            let audit = Audit::beside(&servers, &shared, &audit);
            let served = if audit.is_some() { Served::All } else { Served::Both };
            let operations = Operations::start(served, log_level, &stop)?;
            operations.watch_settings(&servers, &stop);
            let audit = async {
                if let Some(audit) = audit {
                    return audit.run_beside(operations.clone(), stop.clone()).await;
                }
                stop.cancelled().await;
                Ok(())
            };
            let api = api::run(&servers, &http, &shared, operations.clone(), stop.clone());
            let worker = worker::run(
                &servers,
                &shared,
                &worker,
                &forwarding,
                &metrics,
                operations.clone(),
                stop.clone(),
            );
            let (api, worker, audit) =
                tokio::join!(then_stop(api, &stop), then_stop(worker, &stop), then_stop(audit, &stop));
            api.and(worker).and(audit).and(operations.supervisor.verdict())
        }
        Command::Seed { servers } => seed::run(&servers, stop).await,
        Command::Offsets { servers, command } => offsets::run(&servers, &command).await,
        Command::Replay { servers, replay } => replay::run(&servers, &replay).await,
        Command::Stats { database, command } => return stats::run(&database, &command).await,
        Command::Settings { settings } => settings::run(&settings).await,
        Command::Keys { command } => keys::run(command).await,
        Command::DeadLetters { command } => dead_letters::run(command).await,
        Command::Audit { servers, audit, shared, metrics } => {
            let shared = SharedSettings::new(shared);
            let audit = Audit { servers, shared, config: audit };
            return Ok(audit.run(metrics, log_level, stop).await);
        }
        Command::Openapi => {
            println!("{}", crate::http::openapi_document());
            Ok(())
        }
        Command::Completions { shell } => completions::print(shell, cli),
    };
    outcome.map(|()| ExitCode::SUCCESS)
}

/// A role that ends, asked or not, takes the others of the process with it.
async fn then_stop(
    role: impl Future<Output = anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let outcome = role.await;
    let outcome = match outcome {
        Ok(()) if !stop.is_cancelled() => Err(anyhow::anyhow!("a role ended unexpectedly")),
        outcome => outcome,
    };
    if let Err(error) = &outcome {
        tracing::error!("a role failed; the process stops: {error:#}");
    }
    stop.cancel();
    outcome
}
