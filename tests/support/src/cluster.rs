//! A Kafka cluster of three brokers and a controller of the test's own, to be stopped and killed one by one.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{servers::port_for_a_server, unique_name};

/// Brokers 1 to 3; removed with the value.
pub struct TestCluster {
    /// Its `KAFKA_BROKERS`: all three.
    pub brokers: String,
    state: PathBuf,
    ports: String,
}

impl TestCluster {
    /// Starts all on ports that are free; their data lie in `folder`, which is `env!("CARGO_TARGET_TMPDIR")`.
    pub async fn start(folder: &str) -> Self {
        let ports: [u16; 4] = [(); 4].map(|()| port_for_a_server());
        let [controller, one, two, three] = ports;
        let cluster = Self {
            brokers: format!("127.0.0.1:{one},127.0.0.1:{two},127.0.0.1:{three}"),
            state: Path::new(folder).join(unique_name("cluster")),
            ports: format!("{controller} {one} {two} {three}"),
        };
        cluster.run("up", &[]).await;
        cluster
    }

    /// Starts brokers that were stopped or killed; returns when they answer.
    pub async fn up(&self, brokers: &[u8]) {
        self.run("up", brokers).await;
    }

    /// Stops brokers in an orderly way, one after the other; returns when they are gone.
    pub async fn down(&self, brokers: &[u8]) {
        self.run("down", brokers).await;
    }

    /// SIGSTOP: their connections stay, and nothing is answered, until they are killed.
    pub async fn freeze(&self, brokers: &[u8]) {
        self.run("freeze", brokers).await;
    }

    /// SIGKILL.
    pub async fn kill(&self, brokers: &[u8]) {
        self.run("kill", brokers).await;
    }

    async fn run(&self, action: &str, brokers: &[u8]) {
        let mut command = self.command(action);
        command.args(brokers.iter().map(u8::to_string));
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        let output = output.expect("dev/cluster can be run");
        assert!(
            output.status.success(),
            "dev/cluster {action} {brokers:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/cluster"));
        command.arg(action).env("SENSORPIPE_STATE", &self.state).env("CLUSTER_PORTS", &self.ports);
        command
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // What the brokers said may be what explains a failure.
        let failed = std::thread::panicking();
        if failed {
            eprintln!("the brokers' logs are in {}", self.state.join("log").display());
        }
        match self.command(if failed { "down" } else { "clean" }).output() {
            Ok(output) if output.status.success() => {}
            outcome => eprintln!("brokers in {} stay behind: {outcome:?}", self.state.display()),
        }
        if !failed && let Err(error) = std::fs::remove_dir_all(&self.state) {
            eprintln!("{} stays behind: {error}", self.state.display());
        }
    }
}
