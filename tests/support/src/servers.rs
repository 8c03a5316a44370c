//! A Kafka and a TimescaleDB of the test's own, to be stopped and killed.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::unique_name;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Kafka.
    Kafka,
    /// TimescaleDB.
    Postgres,
}

/// A pair of servers, removed with the value.
pub struct TestServers {
    /// Its `DATABASE_URL`.
    pub database_url: String,
    /// Its `KAFKA_BROKERS`.
    pub brokers: String,
    state: PathBuf,
    ports: [u16; 4],
    /// `POSTGRES_LIMITS` of `dev/services`.
    postgres_limits: &'static str,
}

impl TestServers {
    /// Starts both on ports that are free; their data lie in `folder`, which is `env!("CARGO_TARGET_TMPDIR")`.
    pub async fn start(folder: &str) -> Self {
        let servers = Self::new(folder, "");
        servers.run(&["up"]).await;
        servers
    }

    /// Starts a Kafka alone.
    pub async fn start_kafka(folder: &str) -> Self {
        let servers = Self::new(folder, "");
        servers.up(Service::Kafka).await;
        servers
    }

    /// Starts a TimescaleDB alone, with the limits on connections and locks that Postgres has by default.
    pub async fn start_postgres_with_default_limits(folder: &str) -> Self {
        let servers = Self::new(folder, "default");
        servers.up(Service::Postgres).await;
        servers
    }

    fn new(folder: &str, postgres_limits: &'static str) -> Self {
        let [postgres, kafka, controller, kafka_tls] = [(); 4].map(|()| port_for_a_server());
        Self {
            database_url: format!("postgres://sensorpipe@127.0.0.1:{postgres}/sensorpipe"),
            brokers: format!("127.0.0.1:{kafka}"),
            state: Path::new(folder).join(unique_name("servers")),
            ports: [postgres, kafka, controller, kafka_tls],
            postgres_limits,
        }
    }

    /// Starts a server that was stopped or killed; returns when it answers.
    pub async fn up(&self, service: Service) {
        self.run(&["up", service.as_str()]).await;
    }

    /// Stops a server in an orderly way; returns when it is gone.
    pub async fn down(&self, service: Service) {
        self.run(&["down", service.as_str()]).await;
    }

    /// SIGKILL.
    pub async fn kill(&self, service: Service) {
        self.run(&["kill", service.as_str()]).await;
    }

    /// Cuts a partition's log off at an offset, as a power cut does to what was not on the disk yet. Kafka has been killed.
    pub fn cut_log(&self, topic: &str, partition: i32, end: i64) {
        let folder = self.state.join(format!("kafka/data/{topic}-{partition}"));
        for file in std::fs::read_dir(&folder).expect("the partition has a folder").flatten() {
            let is_of_records = file.path().extension().is_some_and(|kind| kind == "log");
            let is_derived = file.path().extension().is_some_and(|kind| {
                ["index", "timeindex", "snapshot"].iter().any(|derived| kind == *derived)
            });
            if is_derived {
                std::fs::remove_file(file.path()).expect("the file can be removed");
            } else if is_of_records {
                let records = std::fs::read(file.path()).expect("the file can be read");
                let kept = bytes_before(&records, end);
                let log = std::fs::File::options().write(true).open(file.path()).expect("it can be opened");
                log.set_len(kept as u64).expect("the file can be cut");
            }
        }
    }

    async fn run(&self, args: &[&str]) {
        let (mut command, args) = (self.command(args), args.join(" "));
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        assert_success(&args, output);
    }

    fn command(&self, args: &[&str]) -> Command {
        let [postgres, kafka, controller, kafka_tls] = self.ports.map(|port| port.to_string());
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/services"));
        command
            .args(args)
            .env("SENSORPIPE_STATE", &self.state)
            .env("POSTGRES_PORT", postgres)
            .env("POSTGRES_LIMITS", self.postgres_limits)
            .env("KAFKA_PORT", kafka)
            .env("KAFKA_CONTROLLER_PORT", controller)
            .env("KAFKA_TLS_PORT", kafka_tls);
        command
    }
}

impl Service {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
        }
    }
}

impl Drop for TestServers {
    fn drop(&mut self) {
        // What the servers said may be what explains a failure.
        let failed = std::thread::panicking();
        if failed {
            eprintln!("the servers' logs are in {}", self.state.join("log").display());
        }
        match self.command(&[if failed { "down" } else { "clean" }]).output() {
            Ok(output) if output.status.success() => {}
            outcome => eprintln!("servers in {} stay behind: {outcome:?}", self.state.display()),
        }
    }
}

/// A port that nobody listens on, below those that Linux gives to clients: a client that tries such a port while its
/// server is away sooner or later gets the same port for its own end, connects to itself, and holds the port.
pub(crate) fn port_for_a_server() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// How many bytes of a log's file lie before the first batch that begins at an offset or after it.
fn bytes_before(records: &[u8], end: i64) -> usize {
    /// A batch's offset and its length, which counts what comes after the two.
    const HEAD: usize = 12;
    let mut at = 0;
    while let Some(head) = records.get(at..at + HEAD) {
        let offset = i64::from_be_bytes(head[..8].try_into().expect("eight bytes"));
        let length = i32::from_be_bytes(head[8..].try_into().expect("four bytes"));
        // Files are made longer than what is in them.
        if length <= 0 || offset >= end {
            break;
        }
        at += HEAD + length as usize;
    }
    at
}

fn assert_success(args: &str, output: std::io::Result<Output>) {
    let output = output.expect("dev/services can be run");
    assert!(
        output.status.success(),
        "dev/services {args} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
