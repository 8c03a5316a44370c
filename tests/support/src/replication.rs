//! A TimescaleDB with a standby of the test's own: to be killed, promoted and brought back.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{Connection as _, PgConnection};

use crate::{eventually, servers::port_for_a_server, unique_name};

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The primary, at first.
    One,
    /// Its standby, at first.
    Two,
}

/// Two servers, one of which streams from the other; removed with the value.
pub struct Replication {
    state: PathBuf,
    ports: [u16; 2],
}

impl Node {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }

    fn number(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
        }
    }
}

impl Replication {
    /// Starts both on ports that are free; their data lie in `folder`, which is `env!("CARGO_TARGET_TMPDIR")`.
    pub async fn start(folder: &str) -> Self {
        let replication = Self {
            state: Path::new(folder).join(unique_name("replication")),
            ports: [(); 2].map(|()| port_for_a_server()),
        };
        replication.run("up", None).await;
        replication
    }

    /// The address of a server, such as `127.0.0.1:5432`.
    pub fn address(&self, node: Node) -> String {
        format!("127.0.0.1:{}", self.ports[node as usize])
    }

    /// The `DATABASE_URL` of one server.
    pub fn url(&self, node: Node) -> String {
        format!("postgres://sensorpipe@{}/sensorpipe", self.address(node))
    }

    /// A `DATABASE_URL` of a database that names both servers, `first` before the other one.
    pub fn url_of_both(&self, first: Node, database: &str) -> String {
        format!("postgres://sensorpipe@{},{}/{database}", self.address(first), self.address(first.other()))
    }

    /// Starts a server that was stopped or killed, as what it was; returns when it answers.
    pub async fn up(&self, node: Node) {
        self.run("up", Some(node)).await;
    }

    /// Stops a server in an orderly way: its standby gets all there is. Returns when it is gone.
    pub async fn down(&self, node: Node) {
        self.run("down", Some(node)).await;
    }

    /// SIGKILL for the server and all its backends.
    pub async fn kill(&self, node: Node) {
        self.run("kill", Some(node)).await;
    }

    /// Makes the server silent: it takes connections, answers nothing, and ends none, as one that lost its power does.
    pub async fn freeze(&self, node: Node) {
        self.run("freeze", Some(node)).await;
    }

    /// Ends [`Self::freeze`].
    pub async fn thaw(&self, node: Node) {
        self.run("thaw", Some(node)).await;
    }

    /// Makes a standby the primary; returns when it takes writes.
    pub async fn promote(&self, node: Node) {
        self.run("promote", Some(node)).await;
    }

    /// Makes a server that is down a standby of the other one, from a copy; returns when it answers.
    pub async fn rejoin(&self, node: Node) {
        self.run("rejoin", Some(node)).await;
    }

    /// Ends what a standby streams: from now on it falls behind, and what is written is lost once it is promoted.
    pub async fn detach(&self, node: Node) {
        self.run("detach", Some(node)).await;
    }

    /// Waits until a standby has applied what the other server has committed so far.
    pub async fn caught_up(&self, standby: Node) {
        let written: String =
            self.ask(standby.other(), "SELECT pg_current_wal_flush_lsn()::text".to_owned()).await;
        let is_applied = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        eventually(Duration::from_secs(30), async || self.ask(standby, is_applied.clone()).await).await;
    }

    /// The single value that a query of the superuser answers.
    async fn ask<T>(&self, node: Node, sql: String) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let url = format!("postgres://postgres@{}/postgres", self.address(node));
        let mut connection = PgConnection::connect(&url).await.expect("the server answers");
        sqlx::query_scalar(&sql)
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    async fn run(&self, action: &str, node: Option<Node>) {
        let mut command = self.command(action);
        command.args(node.map(Node::number));
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        let output = output.expect("dev/replication can be run");
        assert!(
            output.status.success(),
            "dev/replication {action} {node:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn command(&self, action: &str) -> Command {
        let [one, two] = self.ports;
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/replication"));
        command.arg(action);
        command.env("SENSORPIPE_STATE", &self.state).env("REPLICATION_PORTS", format!("{one} {two}"));
        command
    }
}

impl Drop for Replication {
    fn drop(&mut self) {
        // What the servers said may be what explains a failure.
        let failed = std::thread::panicking();
        if failed {
            eprintln!("the servers' logs are in {}", self.state.join("log").display());
        }
        match self.command(if failed { "down" } else { "clean" }).output() {
            Ok(output) if output.status.success() => {}
            outcome => eprintln!("servers in {} stay behind: {outcome:?}", self.state.display()),
        }
        if !failed && let Err(error) = std::fs::remove_dir_all(&self.state) {
            eprintln!("{} stays behind: {error}", self.state.display());
        }
    }
}
