//! A PgBouncer of the test's own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{servers::port_for_a_server, unique_name};

/// To whom a connection to Postgres belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// A client, until it leaves: PgBouncer's default.
    Session,
    /// A transaction.
    Transaction,
    /// The same, of a PgBouncer that knows nothing of prepared statements, as all did before 1.21.
    TransactionWithoutStatements,
}

/// A PgBouncer with its own defaults in front of a Postgres; removed with the value.
pub struct PgBouncer {
    state: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// Starts one in front of the server of a database's URL; its settings lie in `folder`, which is
    /// `env!("CARGO_TARGET_TMPDIR")`.
    pub async fn start(folder: &str, database_url: &str, mode: PoolMode) -> Self {
        let pgbouncer =
            Self { state: Path::new(folder).join(unique_name("pgbouncer")), port: port_for_a_server() };
        let (_, port) = address_in(database_url).rsplit_once(':').expect("the URL names a port");
        let (mode, settings) = match mode {
            PoolMode::Session => ("session", ""),
            PoolMode::Transaction => ("transaction", ""),
            PoolMode::TransactionWithoutStatements => ("transaction", "max_prepared_statements = 0"),
        };
        let mut command = pgbouncer.command("up");
        command
            .env("POSTGRES_PORT", port)
            .env("PGBOUNCER_POOL_MODE", mode)
            .env("PGBOUNCER_SETTINGS", settings);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        let output = output.expect("dev/pgbouncer can be run");
        assert!(output.status.success(), "dev/pgbouncer up:\n{}", String::from_utf8_lossy(&output.stderr));
        pgbouncer
    }

    /// The URL of the same database by way of PgBouncer.
    pub fn url(&self, database_url: &str) -> String {
        database_url.replace(address_in(database_url), &format!("127.0.0.1:{}", self.port))
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/pgbouncer"));
        command.arg(action);
        command.env("SENSORPIPE_STATE", &self.state).env("PGBOUNCER_PORT", self.port.to_string());
        command
    }
}

/// Host and port.
fn address_in(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("a URL has a scheme");
    let (authority, _) = rest.split_once('/').expect("the URL names a database");
    authority.rsplit_once('@').map_or(authority, |(_, address)| address)
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // What it said may be what explains a failure.
        let failed = std::thread::panicking();
        if failed {
            eprintln!("PgBouncer's log is in {}", self.state.join("log").display());
        }
        match self.command(if failed { "down" } else { "clean" }).output() {
            Ok(output) if output.status.success() => {}
            outcome => eprintln!("PgBouncer in {} stays behind: {outcome:?}", self.state.display()),
        }
        if !failed && let Err(error) = std::fs::remove_dir_all(&self.state) {
            eprintln!("{} stays behind: {error}", self.state.display());
        }
    }
}
