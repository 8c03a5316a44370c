//! How a process is asked to stop.

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// What a process runs on; SIGTERM and SIGINT cancel `stop`.
///
/// To be called before anything that takes time: until then a signal ends the process as it does any other, or as PID 1
/// not at all.
pub fn start_runtime(stop: &CancellationToken) -> std::io::Result<Runtime> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let signals = runtime.block_on(async { Signals::receive() })?;
    runtime.spawn(signals.cancel(stop.clone()));
    Ok(runtime)
}

/// The signals that ask a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn receive() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancels on the first signal; a second one ends the process at once, as people expect of Ctrl-C twice.
    async fn cancel(mut self, stop: CancellationToken) {
        for attempt in 1.. {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            if attempt > 1 {
                tracing::warn!(
                    "second signal: stopping without draining; uncommitted records will be read again from Kafka"
                );
                std::process::exit(130);
            }
            tracing::info!("stopping: draining what is in flight");
            stop.cancel();
        }
    }
}
