//! sensorpipe itself, as a process.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use crate::{TestDatabase, TestTopic, unique_name};

const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How much of its log a failed test shows.
const LINES_SHOWN: usize = 40;

/// An address on this machine that nobody listened on a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free")
}

/// A process that is not running yet.
pub struct Role {
    command: Command,
    executable: PathBuf,
}

impl Role {
    /// `executable` is `env!("CARGO_BIN_EXE_sensorpipe")`, which only a test knows; `args` begin with the role.
    pub fn new(executable: &str, args: &[&str]) -> Self {
        let mut command = Command::new(executable);
        command.args(args).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
        Self { command, executable: executable.into() }
    }

    /// With the test's database.
    #[must_use]
    pub fn database(self, database: &TestDatabase) -> Self {
        self.env("DATABASE_URL", &database.url)
    }

    /// With the test's topic, and a consumer group of the same name.
    #[must_use]
    pub fn topic(self, topic: &TestTopic) -> Self {
        self.env("KAFKA_BROKERS", &topic.brokers)
            .env("KAFKA_TOPIC", &topic.name)
            .env("KAFKA_GROUP", &topic.name)
            .env("KAFKA_PARTITIONS", &topic.partitions.to_string())
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// As a container would run it that may do nothing: as nobody, without capabilities and without a way to get any,
    /// every file system read-only. The caller has to be root.
    #[must_use]
    pub fn confined(self) -> Self {
        const CONFINE: &str = r#"
            mount -t tmpfs none /mnt
            touch /mnt/sensorpipe
            mount --bind "$1" /mnt/sensorpipe
            shift
            while read -r _ _ _ _ place _; do
                mount -o remount,bind,ro "$place" 2>/dev/null || true
            done </proc/self/mountinfo
            cd /
            exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all \
                --bounding-set=-all /mnt/sensorpipe "$@"
        "#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-euc", CONFINE, "confined"]);
        command.arg(&self.executable).args(self.command.get_args()).stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Self { command, executable: self.executable }
    }

    /// Starts the process; its output goes to files that `stdout` and `stderr` read.
    pub fn start(mut self) -> Sensorpipe {
        let logs = self.executable.parent().and_then(Path::parent).expect("in target/<profile>").join("tmp");
        fs::create_dir_all(&logs).expect("target/tmp can be made");
        let log = logs.join(unique_name("process"));
        let (stdout, stderr) = (log.with_extension("out"), log.with_extension("log"));
        let child = self
            .command
            .stdout(File::create(&stdout).expect("a file can be made"))
            .stderr(File::create(&stderr).expect("a file can be made"))
            .spawn()
            .expect("the binary starts");
        Sensorpipe { child, stdout, stderr }
    }
}

/// A running process; killed with the value.
pub struct Sensorpipe {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Sensorpipe {
    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// SIGTERM: drain and stop.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGSTOP: frozen, its connections open.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT: goes on where it was frozen.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGUSR1: debug lines on, or off again.
    pub fn toggle_debug(&self) {
        self.signal(Signal::SIGUSR1);
    }

    /// Stops one of its threads, by name, until the value is dropped, on the thread that called; the others go on.
    pub fn freeze_thread(&self, name: &str) -> FrozenThread {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let is_called = |thread: &fs::DirEntry| {
            fs::read_to_string(thread.path().join("comm")).is_ok_and(|called| called.trim_end() == name)
        };
        let thread =
            threads.filter_map(Result::ok).find(is_called).unwrap_or_else(|| panic!("no thread {name}"));
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok()).expect("a thread's id");
        let thread = Pid::from_raw(id);
        ptrace::seize(thread, ptrace::Options::empty()).expect("a process may trace its children");
        ptrace::interrupt(thread).expect("it is traced");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
        FrozenThread(thread)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A line of `/proc/<pid>/status`, such as `VmHWM`, without its name.
    pub fn status_line(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    }

    /// The most memory that it has held so far, in MiB.
    pub fn peak_memory_mib(&self) -> u64 {
        let kib = self.status_line("VmHWM");
        kib.split_once(' ').and_then(|(kib, _)| kib.parse::<u64>().ok()).expect("a number of kB") / 1024
    }

    /// The processor time that it has used so far, in its own code and in the kernel.
    pub fn cpu_time(&self) -> Duration {
        /// `USER_HZ`, which is 100 on every Linux.
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // The name, in brackets, may hold blanks; user and system time are the 12th and 13th field after it.
        let fields = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("a number of ticks")).sum();
        Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
    }

    /// What its open files are: paths, or `socket:[…]` and the like.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.id())).expect("it runs");
        files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// After `timeout`.
    pub async fn ended(&mut self, timeout: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(started.elapsed() < timeout, "still running after {timeout:?}:\n{}", self.stderr());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).expect("its output is text")
    }

    /// What it has logged so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("its log is text")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it is there");
    }
}

/// A thread that does not run.
pub struct FrozenThread(Pid);

impl Drop for FrozenThread {
    fn drop(&mut self) {
        // Its process may have ended.
        let _ = ptrace::detach(self.0, None);
    }
}

impl Drop for Sensorpipe {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.stderr).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
            eprintln!("the last lines of {}:\n{tail}", self.stderr.display());
        } else {
            let _ = fs::remove_file(&self.stdout);
            let _ = fs::remove_file(&self.stderr);
        }
    }
}
