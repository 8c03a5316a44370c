//! How a process is asked to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that ask a process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn receive() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancels on the first signal; a second one ends the process at once, as people expect of Ctrl-C twice.
    pub(super) async fn cancel(mut self, stop: CancellationToken) {
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
