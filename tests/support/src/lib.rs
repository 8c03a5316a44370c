//! What an integration test stands on: a database and a topic of its own on the real servers, records to
//! produce, and sensorpipe itself as a process that can be stopped, continued and killed.

mod cluster;
mod database;
mod gate;
mod ingested;
mod log_batches;
mod mock_kafka;
mod other_producers;
mod pgbouncer;
mod process;
mod produce;
mod readings;
mod replication;
mod servers;
mod topic;

use std::{
    ffi::OsString,
    fmt::Debug,
    panic::Location,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub use cluster::TestCluster;
pub use database::{HeldLocks, TestDatabase};
pub use gate::Gate;
pub use ingested::{DeadLetter, Tally};
pub use log_batches::LogBatch;
pub use mock_kafka::{MockKafka, Request};
pub use other_producers::{OtherProducer, PlainRecord};
pub use pgbouncer::{PgBouncer, PoolMode};
pub use process::{FrozenThread, Role, Sensorpipe, free_address};
pub use produce::{Delivered, OpenTransaction, Record, Sink};
pub use readings::Readings;
pub use replication::{Node, Replication};
pub use servers::{Service, TestServers};
pub use topic::TestTopic;

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `condition` holds, looking every 50 ms.
///
/// # Panics
/// After `timeout`, naming the caller's line.
#[track_caller]
pub fn eventually(timeout: Duration, mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        while !condition().await {
            assert!(started.elapsed() < timeout, "{caller}: not so after {timeout:?}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Waits until `probe` answers `expected`, looking every 50 ms.
///
/// # Panics
/// After `timeout`, naming the caller's line and what `probe` answered last.
#[track_caller]
pub fn comes_to<T: PartialEq + Debug>(
    what: &str,
    timeout: Duration,
    expected: T,
    mut probe: impl AsyncFnMut() -> T,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        loop {
            let answer = probe().await;
            if answer == expected {
                return;
            }
            assert!(
                started.elapsed() < timeout,
                "{caller}: {what}: {answer:?} after {timeout:?}, expected {expected:?}"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// A part of sensorpipe's configuration as the command line would give it, such as `&["--test-linger-ms", "1"]`.
pub fn config<T: clap::Args>(flags: &[&str]) -> T {
    let command = T::augment_args(clap::Command::new("test"));
    let flags = std::iter::once(OsString::from("test")).chain(flags.iter().map(OsString::from));
    let matches = command.get_matches_from(flags);
    T::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The servers' address from the environment.
fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run dev/test, or\n    \
             dev/services up && eval \"$(dev/services env | sed 's/^/export /')\""
        )
    })
}

/// A name that no other test has, on this run or another.
fn unique_name(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_millis()
        % 1_000_000_000;
    format!("sensorpipe_test_{kind}_{}_{millis}_{count}", std::process::id())
}

/// Runs a future to its end from a place that cannot await, such as `drop`, whatever runtime is around.
fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime can be made")
                    .block_on(future)
            })
            .join()
            .expect("the future does not panic")
    })
}
